"""What a servicer is told about the message that it serves, and how it refuses."""

from __future__ import annotations

import base64
from typing import NoReturn

import grpc

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_protocol.errors import OneCardError, to_rejection


class Refused(OneCardError):
    """A servicer's refusal, with the local system's own words."""

    def __init__(self, reason: int, detail: str, *, local_system: str, local_code: str, local_text: str) -> None:
        super().__init__(reason, detail)
        self.local_system = local_system
        self.local_code = local_code
        self.local_text = local_text


class ExchangeContext:
    """The context of one servicer call.

    After a crash `is_recovery` is true: the local system may have been called under `local_transaction_id` before, so
    the servicer finds out by what its profile declares (rule 11), never calls blindly, and raises OutcomeInDoubt
    while it cannot be told.
    """

    def __init__(
        self,
        *,
        sender: str,
        method: str,
        message_id: bytes,
        is_recovery: bool,
        local_transaction_id: str,
        execute_before_ms: int | None,
    ) -> None:
        self.sender = sender
        self.method = method
        self.message_id = message_id
        self.is_recovery = is_recovery
        self.local_transaction_id = local_transaction_id
        """Durable before a method with effect is invoked; the same in every attempt. A dialect whose numbers have
        another form makes and keeps its own under the message id, before it calls."""
        self.execute_before_ms = execute_before_ms
        self._is_unimplemented = False

    async def refuse(
        self, reason: int, detail: str = "", *, local_system: str = "", local_code: str = "", local_text: str = ""
    ) -> NoReturn:
        """Answer with a signed rejection. Texts hold no personal data; personal numbers in `local_text` are masked."""
        raise Refused(reason, detail, local_system=local_system, local_code=local_code, local_text=local_text)

    def set_code(self, code: grpc.StatusCode) -> None:
        """What generated base classes call for methods that a servicer does not implement."""
        self._is_unimplemented = code is grpc.StatusCode.UNIMPLEMENTED

    def set_details(self, details: str) -> None:
        """See `set_code`; the details say nothing more."""

    @property
    def is_unimplemented(self) -> bool:
        """Whether the servicer said that it does not implement the method."""
        return self._is_unimplemented


def local_transaction_id_of(message_id: bytes) -> str:
    """The local transaction number of a received message: 26 capital letters and digits 2 to 7, equal for equal ids."""
    return base64.b32encode(message_id).decode().rstrip("=")


def rejection_of(error: OneCardError) -> message_pb2.Rejection:
    """The rejection that a servicer's error becomes."""
    rejection = to_rejection(error)
    if isinstance(error, Refused):
        rejection.local_system = error.local_system
        rejection.local_code = error.local_code
        rejection.local_text = error.local_text
    return rejection


def not_taken(method: str) -> OneCardError:
    """The refusal of a method that nothing here serves."""
    return OneCardError(errors_pb2.ERROR_REASON_RECIPIENT_NOT_ALLOWED, f"this adapter does not serve {method}")
