"""Which answers belong to which of our requests, and who waits for them."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

from google.protobuf.message import DecodeError

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_adapters.runtime.outbox import Outgoing
from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB, id_text
from onecard_protocol.messages import Message, from_wire
from onecard_protocol.signatures.sm3 import sm3

_log = logging.getLogger(__name__)

FINAL_KINDS = frozenset({message_pb2.MESSAGE_KIND_REPLY, message_pb2.MESSAGE_KIND_REJECTION})


def check_binding(request_header: bytes, recipient: str, method: str, answer: Message) -> None:
    """Raise HEADER_INVALID unless the answer is bound to this request and comes from who may give it.

    The hub may give any: it replies in a province's place where its own query, or the state, tells the outcome.
    """
    header = answer.header
    reference = header.reply_to
    if reference.digest != sm3(request_header):
        raise OneCardError(errors_pb2.ERROR_REASON_HEADER_INVALID, "the answer names another request's digest")
    if header.sender not in {recipient, HUB} or header.method != method:
        raise OneCardError(
            errors_pb2.ERROR_REASON_HEADER_INVALID, f"{header.sender} may not answer this request to {recipient}"
        )


def outcome_of(report: Message) -> tuple[message_pb2.OutcomeReport, Message | None]:
    """The content of an outcome report and the answer in it, parsed; raises OneCardError MALFORMED and others."""
    try:
        content = message_pb2.OutcomeReport.FromString(report.payload)
    except DecodeError:
        raise OneCardError(errors_pb2.ERROR_REASON_MALFORMED, "outcome report") from None
    if content.state != message_pb2.OUTCOME_STATE_DECIDED:
        return content, None
    return content, from_wire(content.answer)


@dataclasses.dataclass(slots=True, eq=False)
class PendingCall:
    """A request whose caller waits. Its answer comes from a typed call or from the inbox, whichever is first."""

    outgoing: Outgoing
    answer: asyncio.Future[Message]
    is_durable: bool
    may_be_known: bool = False
    """Whether the hub may have it: then a refusal is UNKNOWN and not failure (rule 3)."""

    def complete(self, answer: Message) -> None:
        """Give the verified answer, if none was given."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, failure: CallFailed) -> None:
        """End without an answer."""
        if not self.answer.done():
            self.answer.set_exception(failure)
            self.answer.exception()  # Retrieved here, because nobody may be waiting any more.


class Waiting:
    """Requests in flight by message id."""

    def __init__(self) -> None:
        self._pending: dict[bytes, PendingCall] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, pending: PendingCall) -> None:
        """Wait for its answer."""
        self._pending[pending.outgoing.id] = pending

    def remove(self, pending: PendingCall) -> None:
        """Nobody waits any longer."""
        if self._pending.get(pending.outgoing.id) is pending:
            del self._pending[pending.outgoing.id]

    def find(self, message_id: bytes) -> PendingCall | None:
        """The request in flight under this id."""
        return self._pending.get(message_id)

    def take(self, answer: Message) -> None:
        """Take a verified message that answers one of our requests; one that nobody waits for is left."""
        pending = self._pending.get(answer.header.reply_to.id)
        if pending is None:
            return
        outgoing = pending.outgoing
        try:
            check_binding(outgoing.header, outgoing.recipient, outgoing.method, answer)
        except OneCardError as error:
            _log.error("an answer to %s was not taken: %s", id_text(outgoing.id), error.detail)
            return
        kind = answer.header.kind
        if kind in FINAL_KINDS:
            pending.complete(answer)
        elif kind == message_pb2.MESSAGE_KIND_NOTICE:
            self._notice(pending, answer)

    def _notice(self, pending: PendingCall, answer: Message) -> None:
        notice = message_pb2.Notice.FromString(answer.payload)
        if notice.state in {message_pb2.OPEN_STATE_WAITING, message_pb2.OPEN_STATE_REVERSING}:
            return
        pending.fail(CallFailed(notice.reason or errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, notice.detail, answer=answer))
