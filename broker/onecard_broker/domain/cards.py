"""Cards at the hub: which rule decides which message of package onecard.card.v1.

Changes are in ``card_changes``, followers and links in ``card_feeds``, the replacement saga in ``card_replacement``.
The messages of the comparison have no state here and are plain conversation.
"""

from __future__ import annotations

from onecard.card.v1 import change_pb2, feed_pb2, replacement_pb2
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain import card_feeds, card_replacement
from onecard_broker.domain.business import Accepted, Answered, Refused, Verdict
from onecard_broker.domain.card_changes import take_change
from onecard_broker.domain.card_holding import Holding
from onecard_broker.domain.card_state import holder_key
from onecard_broker.domain.model import Inbound, KnownMessage, KnownState, MessageKey, Needs, Timer
from onecard_broker.domain.plain import discard_once, doubt_once, take_first_answer
from onecard_broker.domain.replacement_states import BEING_UNDONE
from onecard_broker.domain.replacement_steps import CARRY_OUT
from onecard_broker.domain.ruling import Ruling
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB, id_from_text


class CardBusiness:
    """The rules of package onecard.card.v1."""

    def names(self, inbound: Inbound) -> Needs:
        """The person's cards, where the message is about a person."""
        return Needs(aggregates=frozenset({holder_key(inbound.subject)} if inbound.subject else ()))

    def stands_under(self, ruling: Ruling) -> str:
        """The primary number of one that is linked; the link itself is the old number's own matter."""
        payload = ruling.inbound.payload
        if not ruling.inbound.subject or isinstance(payload, feed_pb2.LinkNumberRequest | feed_pb2.UnlinkNumberRequest):
            return ""
        holding = Holding(ruling)
        if isinstance(payload, feed_pb2.TakeOverRequest):
            return card_feeds.note_passing(holding, payload)
        return holding.holder.linked_to

    def judge(self, ruling: Ruling) -> Verdict:
        """What is addressed to the hub is answered from the person's state; what is not goes on."""
        payload = ruling.inbound.payload
        match payload:
            case feed_pb2.FollowPersonRequest():
                return card_feeds.follow(Holding(ruling), payload)
            case feed_pb2.UnfollowPersonRequest():
                return card_feeds.unfollow(Holding(ruling))
            case feed_pb2.LinkNumberRequest():
                return card_feeds.link(Holding(ruling), payload)
            case feed_pb2.UnlinkNumberRequest():
                return card_feeds.unlink(Holding(ruling))
            case replacement_pb2.ConfirmBenefitAccountRequest():
                return _confirm(Holding(ruling), payload)
            case replacement_pb2.AskAgainRequest():
                return _ask_again(Holding(ruling), payload)
            case _:
                return Accepted()

    def take_event(self, ruling: Ruling) -> MessageKey | None:
        """A change of a card, or what stood under a number that is linked now."""
        payload = ruling.inbound.payload
        match payload:
            case change_pb2.ReportSocialChangeRequest() | change_pb2.ReportFinancialChangeRequest():
                return take_change(Holding(ruling), payload)
            case feed_pb2.TakeOverRequest():
                card_feeds.take_over(Holding(ruling), payload)
        return None

    def take_answer(self, ruling: Ruling, request: KnownMessage) -> MessageKey | None:
        """A step's answer moves its replacement; any other first answer is simply the outcome."""
        refusal = take_first_answer(ruling, request)
        if refusal is None and request.method == CARRY_OUT:
            holding = _of_known(ruling, request)
            card_replacement.take_answer(holding, request)
            holding.save()
        return refusal

    def doubt(self, ruling: Ruling, request: KnownMessage) -> None:
        """A step is asked for again; anything else is unknown until its late answer."""
        doubt_once(ruling, request)
        if request.method == CARRY_OUT:
            holding = _of_known(ruling, request)
            card_replacement.doubt(holding, request)
            holding.save()

    def goes_ahead(self, inbound: Inbound, stuck: MessageKey) -> bool:
        """What is addressed to the hub: changes carry versions, and the hub answers itself."""
        del stuck
        return inbound.message is not None and inbound.message.header.recipient == HUB

    def discard(self, ruling: Ruling, request: KnownMessage) -> None:
        """The request is over."""
        discard_once(ruling, request)

    def ask_again(self, ruling: Ruling, request: KnownMessage, timer: Timer) -> None:
        """No such timer is set: a step is asked for again by a timer about the person's state."""
        del ruling, request, timer

    def wake(self, ruling: Ruling, timer: Timer) -> None:
        """A step's delay is over, or a benefit account's deadline has passed."""
        holding = Holding(ruling, timer.aggregate)
        card_replacement.wake(holding, timer)
        holding.save()


def _of_known(ruling: Ruling, request: KnownMessage) -> Holding:
    return Holding(ruling, request.aggregates[0])


def _confirm(holding: Holding, payload: replacement_pb2.ConfirmBenefitAccountRequest) -> Verdict:
    """The agency's word that benefits go to the new card's account closes the last step; repeats are answered alike."""
    ruling = holding.ruling
    replacement_id = id_from_text(payload.replacement_id)
    replacement = None if replacement_id is None else holding.replacement(replacement_id)
    if replacement is None:
        return Refused(error=OneCardError(errors_pb2.ERROR_REASON_REPLACEMENT_UNKNOWN))
    if replacement.phase in BEING_UNDONE:
        return Refused(error=OneCardError(errors_pb2.ERROR_REASON_REPLACEMENT_UNDONE))
    new_card = holding.holder.find(replacement.new)
    if new_card is None or payload.bank != new_card.bank:
        return Refused(error=OneCardError(errors_pb2.ERROR_REASON_BENEFIT_BANK_MISMATCH))
    card_replacement.confirm(holding, replacement)
    holding.save()
    request = ruling.arrived(KnownState.OPEN)
    response = replacement_pb2.ConfirmBenefitAccountResponse()
    return Answered(answer=ruling.tell(request, message_pb2.MESSAGE_KIND_REPLY, response, answers=request.key))


def _ask_again(holding: Holding, payload: replacement_pb2.AskAgainRequest) -> Verdict:
    """An operator's word; where nothing is stuck it asks for nothing."""
    ruling = holding.ruling
    replacement_id = id_from_text(payload.replacement_id)
    replacement = None if replacement_id is None else holding.replacement(replacement_id)
    if replacement is None:
        return Refused(error=OneCardError(errors_pb2.ERROR_REASON_REPLACEMENT_UNKNOWN))
    response = replacement_pb2.AskAgainResponse(asked_count=card_replacement.ask_again(holding, replacement))
    holding.save()
    request = ruling.arrived(KnownState.OPEN)
    return Answered(answer=ruling.tell(request, message_pb2.MESSAGE_KIND_REPLY, response, answers=request.key))
