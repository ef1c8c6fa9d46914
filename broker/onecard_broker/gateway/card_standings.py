"""A cardholder as answers need it: the cards' standings serialised once, and what verdicts look at."""

from __future__ import annotations

import dataclasses

from google.protobuf.timestamp_pb2 import Timestamp

from onecard.card.v1 import status_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_broker.domain.card_state import Card, Cardholder, CardKey, LocalStatus, reference_of
from onecard_broker.domain.card_verdicts import CardFacts, facts_of
from onecard_broker.records.card_columns import data_digest_of


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is remembered of one cardholder."""

    linked_to: str
    """Pseudonym of the number that the person's cards stand under; empty where they stand here."""
    all_cards: bytes
    """The field `cards` of a CardAnswer, serialised, the card in use first."""
    by_card: tuple[tuple[CardKey, bytes], ...]
    """The same of each card alone."""
    facts: tuple[CardFacts, ...]
    read_s: float
    """When it was read, by monotonic time."""
    is_certain: bool = True
    """False where nothing may be told: a report waits undecided, or the rows cannot be put into an answer."""

    def of_card(self, key: CardKey) -> bytes:
        """The field `cards` with one card; empty where the person has none such."""
        return next((content for card, content in self.by_card if card == key), b"")


def standing_of(holder: Cardholder, read_s: float) -> Standing:
    """What is remembered of a holder whose rows were read at a time."""
    cards = sorted(holder.cards, key=lambda card: (not card.is_active, -_changed_ms(card)))
    by_card = tuple((card.key, _field(card)) for card in cards)
    return Standing(
        linked_to=holder.linked_to,
        all_cards=b"".join(content for _, content in by_card),
        by_card=by_card,
        facts=tuple(map(facts_of, cards)),
        read_s=read_s,
    )


def uncertain(read_s: float) -> Standing:
    """What is remembered of a person of whom nothing may be told."""
    return Standing(linked_to="", all_cards=b"", by_card=(), facts=(), read_s=read_s, is_certain=False)


def _field(card: Card) -> bytes:
    return status_pb2.CardAnswer(cards=[card_standing(card)]).SerializeToString()


def card_standing(card: Card) -> values_pb2.CardStanding:
    """A card as answers tell it."""
    standing = values_pb2.CardStanding(
        card=reference_of(card.key),
        social_state=card.social.state,  # type: ignore[arg-type]
        social_version=card.social.version,
        social_local_status=_coded(card.social.local),
        financial_state=card.financial.state,  # type: ignore[arg-type]
        financial_version=card.financial.version,
        financial_local_status=_coded(card.financial.local),
        bank=card.bank,
        generation=card.generation,
        data_digest=data_digest_of(card),
    )
    if changed_ms := _changed_ms(card):
        time = Timestamp()
        time.FromMilliseconds(changed_ms)
        standing.changed_time.CopyFrom(time)
    if card.expiry_day:
        year, rest = divmod(card.expiry_day, 10_000)
        standing.expiry_day.CopyFrom(exchange_values_pb2.CalendarDay(year=year, month=rest // 100, day=rest % 100))
    return standing


def _changed_ms(card: Card) -> int:
    return max(card.social.changed_ms, card.financial.changed_ms)


def _coded(local: LocalStatus) -> exchange_values_pb2.CodedValue | None:
    if not (local.system or local.code):
        return None
    return exchange_values_pb2.CodedValue(system=local.system, version=local.version, code=local.code)
