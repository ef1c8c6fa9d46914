"""Events as records, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard_broker.log.cloud_events import CloudEvent, MalformedEvent, decode, encode
from onecard_broker.log.port import Record

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
NAMES = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: name not in {"specversion", "id", "source", "type", "time", "subject", "datacontenttype", "data"}
)
EVENTS = st.builds(
    CloudEvent,
    id=TEXT,
    source=TEXT,
    type=TEXT,
    time_ms=st.integers(0, 4_102_444_800_000),
    subject=st.text(st.characters(codec="utf-8"), max_size=20),
    extensions=st.dictionaries(NAMES, TEXT, max_size=4),
    header=st.binary(max_size=300),
    signature=st.binary(max_size=300),
    data=st.binary(max_size=300),
    content_type=TEXT,
)


def event(**changes: object) -> CloudEvent:
    fields: dict[str, object] = {
        "id": "0192",
        "source": "/onecard/cn-44",
        "type": "onecard.message.v1",
        "time_ms": 1_790_000_000_123,
        "subject": "/onecard.medical.v1.SettlementService/Settle",
        "extensions": {"admitted": "1790000000123"},
        "header": b"\x00\xffheader",
        "signature": b"\xfe\x00",
        "data": b"\x08\x01",
        "content_type": "application/protobuf",
    }
    return CloudEvent(**(fields | changes))  # type: ignore[arg-type]


def record_of(made: CloudEvent) -> Record:
    return encode(topic="onecard.journal", partition=3, key=b"pseudonym", event=made)


def without(record: Record, *names: str) -> tuple[tuple[str, bytes], ...]:
    return tuple(header for header in record.headers if header[0] not in names)


def with_headers(headers: tuple[tuple[str, bytes], ...]) -> Record:
    return Record(topic="onecard.journal", partition=0, key=b"", value=b"", headers=headers)


@given(EVENTS)
def test_an_event_comes_back_as_it_was(made: CloudEvent) -> None:
    assert decode(record_of(made)) == made


def test_a_record_carries_the_attributes_by_the_names_of_the_kafka_binding() -> None:
    record = record_of(event())
    assert (record.topic, record.partition, record.key, record.value) == (
        "onecard.journal", 3, b"pseudonym", b"\x08\x01",
    )  # fmt: skip
    headers = dict(record.headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_time"] == b"2026-09-21T14:13:20.123Z"
    assert headers["ce_admitted"] == b"1790000000123"
    assert headers["content-type"] == b"application/protobuf"
    assert headers["onecard-header"] == b"AP9oZWFkZXI="


def test_an_event_without_subject_header_or_signature_has_none_of_their_headers() -> None:
    names = {name for name, _ in record_of(event(subject="", header=b"", signature=b"")).headers}
    assert names.isdisjoint({"ce_subject", "onecard-header", "onecard-signature"})


@pytest.mark.parametrize("name", ["", "Admitted", "dir_version", "id", "data", "x" * 21])
def test_a_name_that_cloudevents_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="extension"):
        record_of(event(extensions={name: "1"}))


@pytest.mark.parametrize("name", ["id", "source", "type"])
def test_an_event_without_what_cloudevents_requires_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="an event has"):
        record_of(event(**{name: ""}))


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "time"])
def test_a_record_without_a_required_attribute_is_malformed(name: str) -> None:
    with pytest.raises(MalformedEvent, match=name):
        decode(with_headers(without(record_of(event()), f"ce_{name}")))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_type", b"\xff\xfe"),
        ("ce_time", b"yesterday"),
        ("ce_time", b"2026-13-21T14:13:20.123Z"),
        ("ce_time", b"2026-09-21T14:13:20"),
        ("onecard-header", b"\xff\xfe"),
        ("onecard-signature", b"AP9="[:3]),
    ],
)
def test_a_record_with_a_wrong_value_is_malformed_and_its_error_does_not_quote_it(name: str, value: bytes) -> None:
    headers = (*without(record_of(event()), name), (name, value))
    with pytest.raises(MalformedEvent) as raised:
        decode(with_headers(headers))
    assert "yesterday" not in str(raised.value)


def test_an_attribute_that_stands_twice_is_malformed() -> None:
    with pytest.raises(MalformedEvent, match="twice"):
        decode(with_headers((*record_of(event()).headers, ("ce_id", b"another"))))


@pytest.mark.parametrize(
    "text", [b"2026-09-21T14:13:20.123456Z", b"2026-09-21T22:13:20.123+08:00", b"2026-09-21T14:13:20.123Z"]
)
def test_times_of_other_writers_are_read_in_every_form_of_rfc_3339(text: bytes) -> None:
    headers = (*without(record_of(event()), "ce_time"), ("ce_time", text))
    assert decode(with_headers(headers)).time_ms == 1_790_000_000_123


def test_headers_of_other_writers_are_passed_over() -> None:
    headers = (*record_of(event()).headers, ("traceparent", b"\xff\x00"))
    assert decode(with_headers(headers)).extensions == {"admitted": "1790000000123"}
