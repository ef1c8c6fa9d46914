"""A request without state at the hub: sent on, answered once, unknown when the answer is overdue."""

from __future__ import annotations

from onecard.exchange.v1 import errors_pb2
from onecard_broker.domain.business import Accepted, Verdict
from onecard_broker.domain.model import Inbound, KnownMessage, KnownState, MessageKey, Needs, Timer
from onecard_broker.domain.ruling import Ruling
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB


class PlainBusiness:
    """The rules of a package that keeps no state at the hub."""

    def names(self, inbound: Inbound) -> Needs:
        """Nothing."""
        del inbound
        return Needs()

    def judge(self, ruling: Ruling) -> Verdict:
        """Every request goes on."""
        del ruling
        return Accepted()

    def stands_under(self, ruling: Ruling) -> str:
        """Nothing is known of numbers."""
        del ruling
        return ""

    def take_event(self, ruling: Ruling) -> MessageKey | None:
        """Nobody gets it: a package without state names nobody."""
        del ruling
        return None

    def take_answer(self, ruling: Ruling, request: KnownMessage) -> MessageKey | None:
        """The first answer is the outcome."""
        return take_first_answer(ruling, request)

    def doubt(self, ruling: Ruling, request: KnownMessage) -> None:
        """The request becomes unknown."""
        doubt_once(ruling, request)

    def goes_ahead(self, inbound: Inbound, stuck: MessageKey) -> bool:
        """Nothing does: there is neither query nor reversal."""
        del inbound, stuck
        return False

    def discard(self, ruling: Ruling, request: KnownMessage) -> None:
        """The request is over."""
        discard_once(ruling, request)

    def ask_again(self, ruling: Ruling, request: KnownMessage, timer: Timer) -> None:
        """Nothing is asked: no query was ever begun."""
        del ruling, request, timer

    def wake(self, ruling: Ruling, timer: Timer) -> None:
        """No such timer is ever set."""
        del ruling, timer


def take_first_answer(ruling: Ruling, request: KnownMessage) -> MessageKey | None:
    """The first answer is the outcome; another one is refused, and the refusal's key returned."""
    if request.state is KnownState.DECIDED:
        return ruling.reject(ruling.arrived(KnownState.DECIDED), OneCardError(errors_pb2.ERROR_REASON_ALREADY_ANSWERED))
    ruling.accept_answer(request)
    if request.sender == HUB and not request.aggregates:
        # No rule asked but a program of the operator's: it waits at a gateway that follows the hub's inbox.
        ruling.pass_on(HUB, ruling.message, answers=request.key)
    return None


def doubt_once(ruling: Ruling, request: KnownMessage) -> None:
    """An open request becomes unknown, and is told so once; a late answer still decides it."""
    if request.state is KnownState.OPEN:
        ruling.leave_unknown(request)


def discard_once(ruling: Ruling, request: KnownMessage) -> None:
    """The operator's word is the outcome; an answer that comes later is refused."""
    ruling.conclude(request, ruling.reject(request, OneCardError(errors_pb2.ERROR_REASON_DISCARDED)))
