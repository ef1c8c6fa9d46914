"""Whether a card at a counter or terminal may be used: yes or no, and no more of the card than that.

The order of what is looked at, each with its own verdict: is there such a card of this person (UNKNOWN_CARD), is it the
very card that was read (MISMATCH), may it be used by its state, and is it in its time (EXPIRED). A card that is not the
one that was read tells nothing of its state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from onecard.card.v1 import status_pb2, values_pb2
from onecard_broker.domain.card_state import Card
from onecard_protocol.china_time import shanghai_time
from onecard_protocol.value_class import value_class

_BY_STATE: Final[Mapping[int, status_pb2.CardVerdict]] = {
    # An account whose card its issuer never told of.
    values_pb2.SOCIAL_STATE_UNSPECIFIED: status_pb2.CARD_VERDICT_UNKNOWN_CARD,
    values_pb2.SOCIAL_STATE_PRODUCED: status_pb2.CARD_VERDICT_NOT_ENABLED,
    values_pb2.SOCIAL_STATE_ACTIVE: status_pb2.CARD_VERDICT_VALID,
    values_pb2.SOCIAL_STATE_TEMPORARILY_LOST: status_pb2.CARD_VERDICT_TEMPORARILY_LOST,
    values_pb2.SOCIAL_STATE_LOST: status_pb2.CARD_VERDICT_LOST,
    values_pb2.SOCIAL_STATE_LOCKED: status_pb2.CARD_VERDICT_LOCKED,
    values_pb2.SOCIAL_STATE_CANCELLED: status_pb2.CARD_VERDICT_CANCELLED,
    values_pb2.SOCIAL_STATE_SUPERSEDED: status_pb2.CARD_VERDICT_SUPERSEDED,
}


@value_class(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """As much of a card as a verdict looks at."""

    number: str
    sequence: int
    social_state: int
    recognition_code: str
    electronic_card_id: str
    expiry_day: int
    """yyyymmdd; 0 where the card does not expire."""


def facts_of(card: Card) -> CardFacts:
    """What a verdict looks at."""
    return CardFacts(
        number=card.number,
        sequence=card.sequence,
        social_state=card.social.state,
        recognition_code=card.recognition_code,
        electronic_card_id=card.electronic_card_id,
        expiry_day=card.expiry_day,
    )


def business_day(now_ms: int) -> int:
    """The day in Asia/Shanghai, yyyymmdd, at an instant in ms since 1970."""
    day = shanghai_time(now_ms)
    return day.year * 10_000 + day.month * 100 + day.day


def verdict_on(
    cards: Sequence[CardFacts], *, number: str, recognition_code: str, electronic_card_id: str, today: int
) -> status_pb2.CardVerdict:
    """The verdict on what was read, among the cards of the person; what was not read is empty.

    Of a number's cards (同号换卡) the recognition code tells which it is. Without one it is the card in use, else the
    newest: a tap shows the number alone. A card whose code its issuer never told fits any code that no other card has.
    """
    shown = _shown(cards, number, electronic_card_id)
    if not shown:
        return status_pb2.CARD_VERDICT_UNKNOWN_CARD
    if recognition_code:
        code = recognition_code.strip().upper()
        shown = _of_code(shown, code) or _of_code(shown, "")
        if not shown:
            return status_pb2.CARD_VERDICT_MISMATCH
    card = max(shown, key=lambda one: (one.social_state == values_pb2.SOCIAL_STATE_ACTIVE, one.sequence))
    verdict = _BY_STATE[card.social_state]
    if verdict == status_pb2.CARD_VERDICT_VALID and card.expiry_day and today > card.expiry_day:
        return status_pb2.CARD_VERDICT_EXPIRED
    return verdict


def _of_code(cards: Sequence[CardFacts], code: str) -> list[CardFacts]:
    return [card for card in cards if card.recognition_code.upper() == code]


def _shown(cards: Sequence[CardFacts], number: str, electronic_card_id: str) -> list[CardFacts]:
    """The cards that fit everything that names one; none if nothing does."""
    number, electronic_card_id = number.strip().upper(), electronic_card_id.strip()
    if not (number or electronic_card_id):
        return []
    return [
        card
        for card in cards
        if (not number or card.number == number)
        and (not electronic_card_id or card.electronic_card_id == electronic_card_id)
    ]
