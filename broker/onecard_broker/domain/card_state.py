"""A cardholder as the hub keeps one: the person's cards with both machines, links, followers, and replacements.

Owns the shape of the state and nothing of its rules (`cards`) or rows (`records.card_registry`). One value holds all
that is decided together, because the invariant of one ACTIVE card is the person's.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from onecard.card.v1 import change_pb2, replacement_pb2, values_pb2
from onecard_broker.domain.model import AggregateKey
from onecard_protocol.value_class import value_class

HOLDER_PREFIX: Final = "card/holder/"

CardKey = tuple[str, str, int]
"""(issuer, number, sequence)."""


def holder_key(subject: str) -> AggregateKey:
    """Key of the cardholder's state by pseudonym."""
    return AggregateKey(HOLDER_PREFIX + subject)


@value_class(frozen=True, slots=True, kw_only=True)
class LocalStatus:
    """An authority's own status as (system, version, code)."""

    system: str = ""
    version: str = ""
    code: str = ""


@value_class(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where one of a card's two machines stands. Version 0: nothing was told yet."""

    state: int = 0
    """A SocialState or FinancialState."""
    version: int = 0
    digest: bytes = b""
    """First 16 bytes of SM3 over the content of that version, by which the same version with other content shows."""
    changed_ms: int = 0
    """When the authority says that the state was reached."""
    local: LocalStatus = LocalStatus()
    missing: tuple[tuple[int, int], ...] = ()
    """Ranges of versions (first, last) that were asked for and did not come yet."""
    late_count: int = 0
    """Reports that came late or again and changed nothing."""


@value_class(frozen=True, slots=True, kw_only=True)
class Card:
    """One card."""

    issuer: str
    number: str
    sequence: int
    social: Machine = Machine()
    financial: Machine = Machine()
    recognition_code: str = ""
    electronic_card_id: str = ""
    bank: str = ""
    bank_card_number: str = ""
    generation: int = 0
    specification_version: str = ""
    card_class: str = ""
    institution_code: str = ""
    issue_day: int = 0
    """yyyymmdd; 0 where the card is not made yet."""
    expiry_day: int = 0
    """yyyymmdd; 0 where the card does not expire."""
    is_contactless: bool = False
    has_transit_mark: bool = False
    certificate_serial: str = ""
    production_kind: str = ""
    """The code of ACA017."""
    production_way: str = ""
    """The code of ACA015."""
    residence_area: str = ""
    photo_digest: bytes = b""
    replaces: CardKey | None = None

    @property
    def key(self) -> CardKey:
        """(issuer, number, sequence)."""
        return self.issuer, self.number, self.sequence

    @property
    def is_active(self) -> bool:
        """Whether the social application is in use."""
        return self.social.state == values_pb2.SOCIAL_STATE_ACTIVE


@value_class(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a replacement."""

    step: replacement_pb2.ReplacementStep
    phase: str
    """A StepPhase of `domain.replacement_states`."""
    recipient: str
    attempt: int = 0
    """Requests for it, or for its undoing, that count towards the delays."""
    asked_ids: tuple[bytes, ...] = ()
    """Ids of the hub's requests for it, or for its undoing, the newest last: a late reply to any of them counts."""
    reason: int = 0
    """ErrorReason of the last refusal."""
    changed_ms: int = 0
    local_id: str = ""


@value_class(frozen=True, slots=True, kw_only=True)
class Replacement:
    """One replacement under way or ended; kept with its holder."""

    id: bytes
    """Id of the message that enabled the new card."""
    phase: str
    """A ReplacementPhase of `domain.replacement_states`."""
    old: CardKey
    new: CardKey
    steps: tuple[Step, ...]
    began_ms: int
    ended_ms: int = 0
    benefit_due_ms: int = 0
    """When the alarm about the benefit account is given."""
    is_alarmed: bool = False


@value_class(frozen=True, slots=True, kw_only=True)
class SentBack:
    """A link that did not hold: it closed a loop, or would have ended a card that who linked does not answer for."""

    primary: str
    """Pseudonym of the number that it led to."""
    linked_by: str
    """Participant; the hub where that was not told."""
    since_ms: int


@value_class(frozen=True, slots=True, kw_only=True)
class Cardholder:
    """A person."""

    subject: str
    """Pseudonym."""
    kind: str = ""
    """Certificate type, the code as it came."""
    number: str = ""
    """Certificate number, normalised. Never logged."""
    name: str = ""
    linked_to: str = ""
    """Pseudonym of the primary number; cards, followers and replacements then stand there, not here."""
    linked_from: tuple[str, ...] = ()
    """Pseudonyms of the numbers that forward here."""
    sent_back: SentBack | None = None
    """A link of this number that waits for a person; another link, or that it is taken back, ends that."""
    cards: tuple[Card, ...] = ()
    followers: frozenset[str] = frozenset()
    replacements: tuple[Replacement, ...] = ()

    def find(self, key: CardKey) -> Card | None:
        """The card, or None."""
        return next((card for card in self.cards if card.key == key), None)

    def with_card(self, card: Card) -> Cardholder:
        """The holder with the card put or replaced."""
        others = tuple(other for other in self.cards if other.key != card.key)
        return dataclasses.replace(self, cards=(*others, card))


def card_key(reference: values_pb2.CardReference) -> CardKey:
    """The key of a reference; a sequence that is not stated is the first."""
    return reference.issuer, reference.number, reference.sequence or 1


def reference_of(key: CardKey) -> values_pb2.CardReference:
    """The reference of a key."""
    issuer, number, sequence = key
    return values_pb2.CardReference(issuer=issuer, number=number, sequence=sequence)


Change = change_pb2.ReportSocialChangeRequest | change_pb2.ReportFinancialChangeRequest
