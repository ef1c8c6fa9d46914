"""How a refused call ends: its rich status and what goes beside it, within what an ordinary gRPC client takes.

Clients drop an answer whose trailing metadata exceeds their limit, 8 KiB unless they raise it, and see no reason then.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final
from urllib.parse import quote

from google.rpc import status_pb2

from onecard_protocol import limits
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, to_status

Metadata = tuple[tuple[str, str | bytes], ...]

_ENTRY_BYTES: Final = 32
"""What HTTP/2 counts for each entry of a header list beside its name and value (RFC 9113, 6.5.2)."""


def size_bytes(metadata: Metadata) -> int:
    """The size of metadata as a receiver counts it: binary values as the Base64 that travels."""
    return sum(len(key) + _ENTRY_BYTES + _travelling_bytes(value) for key, value in metadata)


def ending(error: OneCardError, beside: Metadata, answer: Metadata) -> tuple[status_pb2.Status, Metadata]:
    """The status of an error and the whole trailing metadata, status included.

    `beside` always goes along. `answer`, the signed rejection that the error is told by, goes along or is left out as a
    whole: its receiver has it in its inbox. Of the violations as many are named as fit, and the detail says how many
    more there are.
    """
    for more in (answer, ()) if answer else ((),):
        together = (*more, *beside)
        status = _fitting(error, limits.CALL_TRAILING_BYTES_MAX - size_bytes(together))
        if status is not None:
            return status, ((STATUS_DETAILS_KEY, status.SerializeToString()), *together)
    raise AssertionError("a status without violations fits beside a receipt")


def _fitting(error: OneCardError, bytes_max: int) -> status_pb2.Status | None:
    """The error's status within a size, with as many violations as fit; None if it does not even fit without any."""
    status = to_status(error)
    if _status_bytes(status) <= bytes_max:
        return status
    counts = range(len(error.violations))
    named_count = bisect_right(counts, bytes_max, key=lambda count: _status_bytes(to_status(_shortened(error, count))))
    return to_status(_shortened(error, named_count - 1)) if named_count else None


def _shortened(error: OneCardError, count: int) -> OneCardError:
    note = f"{len(error.violations) - count} more violations do not fit here"
    if error.detail:
        note = f"; {note}"
    detail = error.detail[: limits.DETAIL_CHARACTERS_MAX - len(note)] + note
    return OneCardError(error.reason, detail, violations=error.violations[:count], retry_after_ms=error.retry_after_ms)


def _status_bytes(status: status_pb2.Status) -> int:
    return size_bytes(
        (
            ("grpc-status", str(status.code)),
            ("grpc-message", quote(status.message, safe=" ")),
            (STATUS_DETAILS_KEY, status.SerializeToString()),
        )
    )


def _travelling_bytes(value: str | bytes) -> int:
    return len(value) if isinstance(value, str) else (len(value) + 2) // 3 * 4
