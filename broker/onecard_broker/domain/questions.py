"""GetOutcome: what became of a message, answered from what stands before the question (rule 3)."""

from __future__ import annotations

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain.model import KnownMessage, KnownState, MessageKey
from onecard_broker.domain.ruling import OPEN_STATES, Ruling
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, to_rejection


def answer_question(ruling: Ruling, seen: KnownMessage | None) -> None:
    """Report the outcome, that there is none yet, or that the message never came; the last closes its id.

    `seen` is the message as it is known under this number of the person.

    A message with other content than the one known by its id gets a rejection ID_CONFLICT, and one past seven days
    TOO_OLD_TO_TELL: a report NEVER_SEEN would be untrue, and the sender would act on it.
    """
    answers = ("question", ruling.inbound.question_id)
    asked = ruling.arrived(KnownState.CLOSED)
    if ruling.now_ms - ruling.message.created_ms > limits.MESSAGE_AGE_MS_MAX:
        _refuse(ruling, asked, errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL, answers)
    elif seen is not None and seen.digest != asked.digest:
        _refuse(ruling, asked, errors_pb2.ERROR_REASON_ID_CONFLICT, answers)
    elif seen is not None and seen.state is KnownState.FORWARDED:
        ruling.forward(seen.subject)
    else:
        if seen is None:
            ruling.remember(asked)
        report = _report(ruling, seen)
        ruling.tell(asked, message_pb2.MESSAGE_KIND_OUTCOME_REPORT, report, answers=answers)


def _report(ruling: Ruling, seen: KnownMessage | None) -> message_pb2.OutcomeReport:
    if seen is None or seen.state is KnownState.CLOSED:
        return message_pb2.OutcomeReport(state=message_pb2.OUTCOME_STATE_NEVER_SEEN)
    if seen.state is not KnownState.DECIDED:
        return message_pb2.OutcomeReport(state=message_pb2.OUTCOME_STATE_OPEN, open_state=OPEN_STATES[seen.state])
    report = message_pb2.OutcomeReport(state=message_pb2.OUTCOME_STATE_DECIDED)
    if seen.answer is not None:
        report.answer.CopyFrom(ruling.state.answers[seen.answer].to_wire())
    return report


def _refuse(ruling: Ruling, asked: KnownMessage, reason: int, answers: MessageKey) -> None:
    ruling.tell(asked, message_pb2.MESSAGE_KIND_REJECTION, to_rejection(OneCardError(reason)), answers=answers)
