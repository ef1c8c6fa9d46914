"""Who follows a person, and which numbers are one person (design.md, section 4, rule 4).

The theory of links. What a person's old number stands for lies in another partition than what the new one does, so a
link is two decisions: at the old number it is recorded, and whatever stood there leaves with a message of the hub's
own, TakeOver, to the primary number, where it is merged. What comes under the old number afterwards follows it, in
order, so it is never decided before it.

A chain is followed link by link. Where the primary number is known to forward here already, the link would be a loop
and is refused. Two links that race can still close one, each unseen by the other: then a TakeOver comes back to the
number that sent it, and that link is taken back on the spot, its matters with it, so nothing goes round for ever.

A link may end a card, so it is the word of the hub or of a province that answers for the person: the issuer of a card
under the old number, or where its holder lives. Where there is no card yet, nothing can end, and any province may.

Whose cards stand under the primary number shows there alone. Where the merge would end one of them that is in use, and
the link is the word of a province that answers for nothing there, the number may be mistyped and the card a stranger's:
the TakeOver goes back to the number that sent it, as from a loop, and only the hub or a province of both may link them.
The number keeps that as `sent_back`, for a person, until it is linked again or the link is taken back.
A report that followed it before that is refused there, so that it is told again under its own number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Final

from onecard.card.v1 import feed_pb2
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain import card_replacement
from onecard_broker.domain.business import Answered, Refused, Verdict
from onecard_broker.domain.card_changes import supersede
from onecard_broker.domain.card_codec import decode_holder, encode_holder
from onecard_broker.domain.card_holding import Holding
from onecard_broker.domain.card_state import Card, Cardholder, SentBack
from onecard_broker.domain.model import KnownState
from onecard_broker.domain.ruling import Ruling
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB, participant_of_area

TAKE_OVER: Final = "/onecard.card.v1.CardFeedService/TakeOver"

_Answer = (
    feed_pb2.FollowPersonResponse
    | feed_pb2.UnfollowPersonResponse
    | feed_pb2.LinkNumberResponse
    | feed_pb2.UnlinkNumberResponse
)


def answered(ruling: Ruling, payload: _Answer) -> Answered:
    """The hub answers a request itself."""
    request = ruling.arrived(KnownState.OPEN)
    return Answered(answer=ruling.tell(request, message_pb2.MESSAGE_KIND_REPLY, payload, answers=request.key))


# ---- followers -----------------------------------------------------------------------------------------------------


def follow(holding: Holding, payload: feed_pb2.FollowPersonRequest) -> Verdict:
    """The sender gets what is published about the person from here on, also of one whom nothing is known of yet."""
    holding.identify(payload.person)
    holding.change(followers=holding.holder.followers | {holding.ruling.message.header.sender})
    holding.save()
    return answered(holding.ruling, feed_pb2.FollowPersonResponse(card_count=len(holding.holder.cards)))


def unfollow(holding: Holding) -> Verdict:
    """The sender gets no more; one that never followed is answered the same."""
    holding.change(followers=holding.holder.followers - {holding.ruling.message.header.sender})
    holding.save()
    return answered(holding.ruling, feed_pb2.UnfollowPersonResponse())


# ---- links ---------------------------------------------------------------------------------------------------------


def link(holding: Holding, payload: feed_pb2.LinkNumberRequest) -> Verdict:
    """The old number forwards to the primary from here on; what stood under it leaves."""
    ruling, holder, primary = holding.ruling, holding.holder, holding.ruling.inbound.other_subject
    if holder.linked_to == primary:
        return answered(ruling, feed_pb2.LinkNumberResponse())
    if holder.linked_to or primary == holder.subject or primary in holder.linked_from:
        return Refused(error=OneCardError(errors_pb2.ERROR_REASON_LINK_CONFLICT))
    if not _may_link(holder, ruling.message.header.sender):
        return Refused(error=OneCardError(errors_pb2.ERROR_REASON_CARD_AUTHORITY))
    holding.identify(payload.person)
    holding.holder = Cardholder(
        subject=holder.subject,
        kind=holding.holder.kind,
        number=holding.holder.number,
        linked_to=primary,
        linked_from=holder.linked_from,
    )
    holding.save()
    left = dataclasses.replace(holder, sent_back=None)
    hand_over = feed_pb2.TakeOverRequest(
        person=payload.primary,
        former=holder.subject,
        holder=encode_holder(left),
        linked_by=ruling.message.header.sender,
    ).SerializeToString(deterministic=True)
    ruling.forward_own(primary, TAKE_OVER, hand_over)
    ruling.pass_on(HUB, ruling.message)
    return answered(ruling, feed_pb2.LinkNumberResponse(card_count=len(holder.cards)))


def _may_link(holder: Cardholder, sender: str) -> bool:
    """Whether the sender may move, or end, what stands under the number."""
    concerned = {place for card in holder.cards for place in (card.issuer, participant_of_area(card.residence_area))}
    return not holder.cards or sender == HUB or sender in concerned


def unlink(holding: Holding) -> Verdict:
    """The number stands for itself again; what left it stays where it is. Not linked, it is answered the same."""
    ruling, primary = holding.ruling, holding.holder.linked_to
    if primary or holding.holder.sent_back:
        holding.change(linked_to="", sent_back=None)
        holding.save()
    if primary:
        taken_back = feed_pb2.TakeOverRequest(former=holding.holder.subject, is_taken_back=True)
        ruling.forward_own(primary, TAKE_OVER, taken_back.SerializeToString(deterministic=True))
        ruling.pass_on(HUB, ruling.message)
    return answered(ruling, feed_pb2.UnlinkNumberResponse())


def note_passing(holding: Holding, payload: feed_pb2.TakeOverRequest) -> str:
    """Where a TakeOver goes on to from a number that is linked itself; empty where it has come to its end."""
    return "" if payload.former == holding.holder.subject else holding.holder.linked_to


def take_over(holding: Holding, payload: feed_pb2.TakeOverRequest) -> None:
    """Merge what stood under a linked number; two cards in use become one, and the older one is replaced."""
    holder = holding.holder
    if payload.is_taken_back:
        holding.change(linked_from=tuple(known for known in holder.linked_from if known != payload.former))
        holding.save()
        return
    came = decode_holder(payload.holder)
    merged = [_newer(holder.find(card.key), card) for card in came.cards]
    is_back = payload.former == holder.subject
    if not is_back and payload.linked_by and not _may_link(holder, payload.linked_by) and _ends_one(holder, merged):
        holding.ruling.forward_own(payload.former, TAKE_OVER, payload.SerializeToString(deterministic=True))
        return
    if is_back and holder.linked_to:
        linked_by = payload.linked_by or HUB
        sent_back = SentBack(primary=holder.linked_to, linked_by=linked_by, since_ms=holding.ruling.now_ms)
        holding.change(linked_to="", sent_back=sent_back)
    elif not is_back:
        holding.identify(payload.person)
    formers = () if is_back else (payload.former,)
    holding.change(
        name=holder.name or came.name,
        linked_from=tuple(dict.fromkeys((*holder.linked_from, *came.linked_from, *formers))),
        followers=holder.followers | came.followers,
    )
    for card in merged:
        holding.put(card)
    _end_older(holding)
    for replacement in came.replacements:
        card_replacement.resume(holding, replacement)
    holding.save()
    holding.ruling.pass_on(HUB, holding.ruling.message)


def _newer(here: Card | None, came: Card) -> Card:
    """A card told of under both numbers: each machine as its higher version has it, the data with the social."""
    if here is None:
        return came
    newer, older = (came, here) if came.social.version > here.social.version else (here, came)
    financial = max(newer.financial, older.financial, key=lambda machine: machine.version)
    return dataclasses.replace(newer, financial=financial)


def _ends_one(holder: Cardholder, merged: Sequence[Card]) -> bool:
    """Whether a card in use of this number alone would be replaced by one that comes."""
    keys = {card.key for card in merged}
    others = [card for card in holder.cards if card.key not in keys]
    return any(old in others for old in _in_use([*others, *merged])[:-1])


def _in_use(cards: Iterable[Card]) -> list[Card]:
    """The cards in use; the last is the one that stays."""
    return sorted((card for card in cards if card.is_active), key=lambda card: (card.social.changed_ms, card.key))


def _end_older(holding: Holding) -> None:
    """Two cards in use under two numbers: the one that changed earlier is replaced by the other."""
    active = _in_use(holding.holder.cards)
    for old in active[:-1]:
        supersede(holding, old, holding.ruling.now_ms)
        card_replacement.begin(holding, old.key, active[-1])
