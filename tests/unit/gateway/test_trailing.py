"""What ends a call fits what an ordinary gRPC client takes."""

from __future__ import annotations

from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2
from onecard_broker.gateway.trailing import Metadata, ending, size_bytes
from onecard_protocol import limits
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, from_status

REASON = errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT
RECEIPT: Metadata = (("onecard-receipt-bin", bytes(1_000)),)


def error_with(
    violation_count: int, detail: str = "", description: str = "is not the sum of its parts"
) -> OneCardError:
    violations = [(f"lines[{index}].amount_fen", description) for index in range(violation_count)]
    return OneCardError(REASON, detail, violations=violations, retry_after_ms=1_000)


def ended(error: OneCardError, beside: Metadata = (), answer: Metadata = ()) -> tuple[OneCardError, Metadata]:
    _, trailing = ending(error, beside, answer)
    [details] = [value for key, value in trailing if key == STATUS_DETAILS_KEY]
    assert isinstance(details, bytes)
    return from_status(status_pb2.Status.FromString(details)), trailing


def test_what_fits_is_told_whole_with_the_signed_answer_beside() -> None:
    answer = (("onecard-rejection-bin", b"signed"),)

    told, trailing = ended(error_with(3, "three lines"), RECEIPT, answer)

    assert (told.detail, told.violations) == ("three lines", error_with(3).violations)
    assert trailing[1:] == (*answer, *RECEIPT)


def test_as_many_violations_as_fit_are_told_and_how_many_more_there_are() -> None:
    told, trailing = ended(error_with(100, "wrong sums"))

    named_count = len(told.violations)
    assert 0 < named_count < 100
    assert told.violations == error_with(100).violations[:named_count]
    assert told.detail == f"wrong sums; {100 - named_count} more violations do not fit here"
    assert told.retry_after_ms == 1_000
    # One more would not have fitted.
    assert limits.CALL_TRAILING_BYTES_MAX - size_bytes(trailing) < 300


def test_an_answer_that_leaves_no_room_for_the_reason_is_left_out_and_the_receipt_is_not() -> None:
    told, trailing = ended(error_with(100), RECEIPT, (("onecard-rejection-bin", bytes(6_000)),))

    assert told.reason == REASON
    assert trailing[1:] == RECEIPT


@given(
    violation_count=st.integers(0, 200),
    detail=st.text(max_size=600),
    description=st.text(max_size=3_000),
    answer_bytes=st.integers(0, 140_000),
)
def test_the_whole_never_exceeds_the_bound(
    violation_count: int, detail: str, description: str, answer_bytes: int
) -> None:
    error = error_with(violation_count, detail, description)

    told, trailing = ended(error, RECEIPT, (("onecard-rejection-bin", bytes(answer_bytes)),))

    assert told.reason == REASON
    assert size_bytes(trailing) <= limits.CALL_TRAILING_BYTES_MAX
    left_count = violation_count - len(told.violations)
    assert told.detail.endswith(f"{left_count} more violations do not fit here") or not left_count
