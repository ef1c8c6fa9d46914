"""Messages that their recipient gave up on, and what an operator decides about them (design.md, rule 13).

A dead letter is kept of what still lacks an outcome: a request in doubt, an event, an answer. It ends with the outcome,
wherever that comes from (rule 12), or by the operator's word.
"""

from __future__ import annotations

from onecard.exchange.v1 import control_pb2, message_pb2
from onecard_broker.domain.business import Business
from onecard_broker.domain.model import KeepDeadLetter, KnownMessage, KnownState, MessageKey
from onecard_broker.domain.ruling import Ruling
from onecard_protocol.errors import reason_name
from onecard_protocol.messages import Message


def keep_if_open(ruling: Ruling, given_up: KnownMessage) -> None:
    """Keep the dead letter of the message that the report in hand gives up on, if it has no outcome.

    Behind an answer nobody waits: it ends a conversation, and its recipient can ask for it with GetOutcome.
    """
    is_passed_on = given_up.state is KnownState.DECIDED and given_up.answer is None
    if given_up.state is KnownState.DECIDED and not is_passed_on:
        return
    is_event = ruling.inbound.method is not None and ruling.inbound.method.is_event
    report = ruling.inbound.payload
    reason = report.reason if isinstance(report, message_pb2.DeliveryReport) else 0
    ruling.effects.append(
        KeepDeadLetter(
            of=given_up.key,
            subject=given_up.subject if is_event or not is_passed_on else "",
            cause=f"given up by {ruling.message.header.sender}: {reason_name(reason)}",
        )
    )


def given_up_in(report: Message) -> MessageKey:
    """The message that a delivery report gives up on."""
    return report.header.reply_to.sender, report.header.reply_to.id


def is_expired(original: Message, now_ms: int) -> bool:
    """Whether the recipient must no longer act on it, so that it can only be discarded."""
    return original.execute_before_ms is not None and now_ms >= original.execute_before_ms


def dispose(ruling: Ruling, business: Business) -> None:
    """Carry out an operator's decision; a replay that is not possible any more leaves everything as it was.

    An event or answer that is discarded owes nobody an outcome; neither does a message older than what is known of it.
    """
    key = given_up_in(ruling.message)
    request, original = ruling.state.known.get(key), ruling.state.answers.get(key)
    match ruling.inbound.disposition:
        case control_pb2.DISPOSITION_REPLAY if original is not None and not is_expired(original, ruling.now_ms):
            ruling.pass_on(
                ruling.message.header.sender, original
            )  # Who gave it up; what is published went to others too.
        case control_pb2.DISPOSITION_DISCARD:
            if request is not None and request.state is not KnownState.DECIDED:
                business.discard(ruling, request)
        case disposition:
            is_release = disposition == control_pb2.DISPOSITION_RELEASE
            subject, cause = ("", "released") if is_release else (ruling.inbound.subject, "could not be replayed")
            ruling.effects.append(KeepDeadLetter(of=key, subject=subject, cause=cause))
