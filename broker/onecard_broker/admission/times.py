"""The times in a header against hub time: age, future, and execute_before (rules 2 and 10)."""

from __future__ import annotations

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import Message
from onecard_protocol.methods import Method


def check_age(message: Message, now_ms: int) -> None:
    """Raise FROM_THE_FUTURE or TOO_OLD."""
    ahead_ms = message.created_ms - now_ms
    if ahead_ms > limits.CLOCK_SKEW_MS_MAX:
        raise OneCardError(errors_pb2.ERROR_REASON_FROM_THE_FUTURE, f"{ahead_ms} ms ahead of the hub")
    if -ahead_ms > limits.MESSAGE_AGE_MS_MAX:
        raise OneCardError(errors_pb2.ERROR_REASON_TOO_OLD)


def check_times(message: Message, method: Method, now_ms: int) -> None:
    """Raise TOO_OLD, FROM_THE_FUTURE, EXPIRED, or HEADER_INVALID for an execute_before against the method's policy."""
    check_age(message, now_ms)
    carries = method.carries_execute_before and message.header.kind == message_pb2.MESSAGE_KIND_REQUEST
    execute_before_ms = message.execute_before_ms
    if execute_before_ms is None:
        if carries:
            raise _wrong_execute_before("must be present")
        return
    if not carries:
        raise _wrong_execute_before("must be absent")
    duration_ms = execute_before_ms - message.created_ms
    if not 0 < duration_ms <= method.policy.longest_duration_ms:
        raise _wrong_execute_before(f"must lie at most {method.policy.longest_duration_ms} ms behind created_time")
    if now_ms >= execute_before_ms:
        raise OneCardError(errors_pb2.ERROR_REASON_EXPIRED, f"{now_ms - execute_before_ms} ms past execute_before")


def _wrong_execute_before(what: str) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_HEADER_INVALID, violations=[("execute_before", what)])
