"""Records as CloudEvents 1.0 in the Kafka binding's binary mode: attributes as record headers, data as value.

Header and signature of a message stand beside the attributes as raw bytes (``onecard-header``, ``onecard-signature``);
readers that know only CloudEvents leave them alone. Owns the form, not the names of types and attributes.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Final

from onecard_broker.log.port import LoggedRecord, Record

HEADER: Final = "onecard-header"
SIGNATURE: Final = "onecard-signature"

_SPEC: Final = ("ce_specversion", b"1.0")
_CORE: Final = frozenset({"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """One event; `time_ms` in Unix ms, extension names in lower-case letters and digits."""

    id: str
    source: str
    type: str
    time_ms: int
    subject: str = ""
    extensions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    header: bytes = b""
    signature: bytes = b""
    data: bytes = b""
    content_type: str = "application/protobuf"


def encode(*, topic: str, partition: int, key: bytes, event: CloudEvent) -> Record:
    """The event as a record to append."""
    headers = [
        _SPEC,
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.type.encode()),
        ("ce_time", _time_text(event.time_ms)),
        ("content-type", event.content_type.encode()),
    ]
    if event.subject:
        headers.append(("ce_subject", event.subject.encode()))
    headers += [("ce_" + name, value.encode()) for name, value in event.extensions.items()]
    if event.header:
        headers.append((HEADER, event.header))
        headers.append((SIGNATURE, event.signature))
    return Record(topic=topic, partition=partition, key=key, value=event.data, headers=tuple(headers))


def decode(record: LoggedRecord | Record) -> CloudEvent:
    """The event of a record; raises ValueError for a record that is none."""
    values = dict(record.headers)
    try:
        return CloudEvent(
            id=values["ce_id"].decode(),
            source=values["ce_source"].decode(),
            type=values["ce_type"].decode(),
            time_ms=_time_ms(values["ce_time"].decode()),
            subject=values.get("ce_subject", b"").decode(),
            extensions={
                name[3:]: value.decode()
                for name, value in record.headers
                if name not in _CORE and name.startswith("ce_")
            },
            header=values.get(HEADER, b""),
            signature=values.get(SIGNATURE, b""),
            data=record.value,
            content_type=values.get("content-type", b"").decode(),
        )
    except KeyError as error:
        raise ValueError(f"the record is no CloudEvent in binary mode: {error.args[0]} is missing") from None


def _time_text(time_ms: int) -> bytes:
    seconds, milliseconds = divmod(time_ms, 1000)
    day, second = divmod(seconds, 86_400)
    hour, second = divmod(second, 3_600)
    minute, second = divmod(second, 60)
    return b"%sT%02d:%02d:%02d.%03dZ" % (_day_text(day), hour, minute, second, milliseconds)


_days: dict[int, bytes] = {}


def _day_text(day: int) -> bytes:
    text = _days.get(day)
    if text is None:
        if len(_days) > 64:
            _days.clear()
        text = _days[day] = (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat().encode()
    return text


def _time_ms(text: str) -> int:
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) / datetime.timedelta(milliseconds=1))
