"""The catalogue of reasons: complete, and the same on both ends of the wire."""

from __future__ import annotations

import grpc
import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2, options_pb2
from onecard.medical.v1 import coverage_pb2
from onecard_protocol.errors import (
    OneCardError,
    from_rejection,
    from_status,
    policy,
    reason_from_name,
    reason_name,
    text,
    to_rejection,
    to_status,
)
from onecard_protocol.redaction import HIDDEN, mask_number, redact

REASONS = [number for number in errors_pb2.ErrorReason.values() if number]


@pytest.mark.parametrize("reason", REASONS, ids=reason_name)
def test_every_reason_has_its_fault_texts_and_status(reason: int) -> None:
    """Two languages, whose fault, and a gRPC code that exists."""
    entry = policy(reason)
    assert entry.fault != options_pb2.ERROR_FAULT_UNSPECIFIED
    assert entry.text_en.endswith(".")
    assert entry.text_zh.endswith("。")
    assert entry.status in grpc.StatusCode.__members__
    assert reason_from_name(reason_name(reason)) == reason


def test_what_maps_codes_is_called_as_in_the_glossary() -> None:
    """Code table, 代码表: a person looks for the word in profiles and pages."""
    entry = policy(errors_pb2.ERROR_REASON_UNMAPPED_CODE)
    assert "code table" in entry.text_en
    assert "代码表" in entry.text_zh


def test_an_error_travels_whole_as_a_rich_status_and_as_a_rejection() -> None:
    """Reason, detail, violations and the time to wait."""
    error = OneCardError(
        errors_pb2.ERROR_REASON_PAYLOAD_INVALID, "a detail", violations=[("a.b", "is empty")], retry_after_ms=1_500
    )
    told = from_status(to_status(error))
    assert (told.reason, told.detail, told.violations, told.retry_after_ms) == (
        error.reason,
        "a detail",
        (("a.b", "is empty"),),
        1_500,
    )
    rejected = from_rejection(to_rejection(error))
    assert (rejected.reason, rejected.detail, rejected.violations) == (error.reason, error.detail, error.violations)


def test_a_reason_of_a_newer_release_is_internal_here() -> None:
    """Never an exception in the middle of an error."""
    assert reason_from_name("INVENTED_LATER") == errors_pb2.ERROR_REASON_INTERNAL
    assert reason_name(9_999) == "REASON_9999"
    assert policy(9_999) == policy(errors_pb2.ERROR_REASON_INTERNAL)


def test_a_person_reads_reason_text_and_detail_in_both_languages() -> None:
    """What happened and what to do."""
    error = OneCardError(errors_pb2.ERROR_REASON_KEY_REVOKED, "key cn-44-1")
    assert error.describe("en") == "KEY_REVOKED: The key was revoked. | key cn-44-1"
    assert text(error.reason, "zh") in error.describe("zh")


def test_sensitive_fields_are_shown_as_present_only() -> None:
    """By the field option, at any depth."""
    request = coverage_pb2.QueryCoverageRequest(insurance_area="510100")
    request.person.number = "510000199001019918"
    request.person.kind.code = "01"
    request.details.name = "示例"
    shown = redact(request)
    assert shown["person"] == {"kind": {"code": "01"}, "number": HIDDEN}
    assert shown["details"] == HIDDEN
    assert shown["insurance_area"] == "510100"
    assert "510000199001019918" not in str(shown)
    assert mask_number("510000199001019918") == "51**************18"


def test_the_message_in_an_outcome_report_is_shown_without_its_content() -> None:
    """Its bytes in hex digits would tell it as well."""
    content = b"510000199001019918"
    answer = message_pb2.SignedMessage(header=b"h", payload=content, signature=b"s")
    shown = redact(message_pb2.OutcomeReport(state=message_pb2.OUTCOME_STATE_DECIDED, answer=answer))
    assert shown["answer"] == {"header": b"h".hex(), "payload": HIDDEN, "signature": b"s".hex()}
    assert content.hex() not in str(shown)
