"""What the hub's registry knows of a card, beside what the local system shows of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from onecard.card.v1 import values_pb2
from onecard_adapters.cards.port import LocalAccount, LocalCard
from onecard_protocol.card_digests import data_digest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """One machine of a card as the registry knows it; version 0 where nothing was told."""

    version: int = 0
    state: int = 0
    is_equal: bool = False
    """Whether all that the registry tells of it is what the local system shows."""


def registered(local: LocalCard | LocalAccount, standings: Iterable[values_pb2.CardStanding]) -> Registered:
    """The machine that a local view is about, among the cards of an answer."""
    standing = next((one for one in standings if _is_same(one.card, local.card)), None)
    if standing is None:
        return Registered()
    if isinstance(local, LocalAccount):
        return Registered(
            version=standing.financial_version,
            state=standing.financial_state,
            is_equal=(standing.financial_state, standing.financial_local_status) == (local.state, local.local_status),
        )
    told = standing.social_state, standing.social_local_status, standing.data_digest
    shown = local.state, local.local_status, data_digest(local.data)
    return Registered(version=standing.social_version, state=standing.social_state, is_equal=told == shown)


def _is_same(one: values_pb2.CardReference, other: values_pb2.CardReference) -> bool:
    return (one.issuer, one.number, one.sequence or 1) == (other.issuer, other.number, other.sequence or 1)
