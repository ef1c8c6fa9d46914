"""One cardholder while a record is decided: loads the state, collects what changes, writes it once. Owns no rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Final

from onecard.exchange.v1 import values_pb2
from onecard_broker.domain.card_state import Card, Cardholder, Replacement, holder_key
from onecard_broker.domain.model import AggregateKey
from onecard_broker.domain.ruling import Ruling
from onecard_protocol.identity import CITIZEN_KINDS, normalise_identity

_KIND_SYSTEM: Final = "nhsa.psn_cert_type"
_KIND_VERSION: Final = "1"


def person_of(holder: Cardholder) -> values_pb2.PersonIdentity:
    """The identity by which the hub names a person; a citizen's needs no kind."""
    if holder.kind.strip() in CITIZEN_KINDS:
        return values_pb2.PersonIdentity(number=holder.number)
    kind = values_pb2.CodedValue(system=_KIND_SYSTEM, version=_KIND_VERSION, code=holder.kind)
    return values_pb2.PersonIdentity(kind=kind, number=holder.number)


def _number(person: values_pb2.PersonIdentity) -> str:
    return normalise_identity(person.kind.code, person.number).partition("|")[2]


class Holding:
    """A person's cards, followers and replacements as the rulings so far leave them."""

    def __init__(self, ruling: Ruling, key: AggregateKey | None = None) -> None:
        """By the record's subject, or by the key that a known request or a timer names."""
        self.ruling = ruling
        self.key = key or holder_key(ruling.inbound.subject)
        loaded: Cardholder | None = ruling.state.aggregates.get(self.key)
        self._loaded = loaded
        self.holder = loaded or Cardholder(subject=self.key.rpartition("/")[2])

    def identify(self, person: values_pb2.PersonIdentity) -> None:
        """Keep the number by which the person was first told of; one that forwards here later is another."""
        if not self.holder.number:
            self.change(kind=person.kind.code, number=_number(person))

    def is_known_as(self, person: values_pb2.PersonIdentity) -> bool:
        """Whether a number may stand here: nothing forwards here unless it is the holder's own."""
        return not self.holder.number or bool(self.holder.linked_from) or _number(person) == self.holder.number

    def person(self) -> values_pb2.PersonIdentity:
        """The identity by which the hub names the person."""
        return person_of(self.holder)

    def change(self, **fields: object) -> None:
        """Replace fields of the holder."""
        self.holder = dataclasses.replace(self.holder, **fields)  # type: ignore[arg-type]

    def put(self, card: Card) -> None:
        """Add or replace a card."""
        self.holder = self.holder.with_card(card)

    def put_replacement(self, replacement: Replacement) -> None:
        """Add a replacement, or replace it where it stands."""
        known = self.holder.replacements
        if all(other.id != replacement.id for other in known):
            self.change(replacements=(*known, replacement))
        else:
            self.change(replacements=tuple(replacement if other.id == replacement.id else other for other in known))

    def replacement(self, replacement_id: bytes) -> Replacement | None:
        """The replacement, or None."""
        return next((known for known in self.holder.replacements if known.id == replacement_id), None)

    def active_besides(self, card: Card) -> Iterable[Card]:
        """The person's cards in use but this one."""
        return (other for other in self.holder.cards if other.is_active and other.key != card.key)

    def save(self) -> None:
        """Write the holder if it changed."""
        if self.holder != self._loaded:
            self.ruling.save(self.key, self.holder)
            self._loaded = self.holder
