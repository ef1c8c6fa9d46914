"""Drift of a province's copies of cards: compared with the registry, repaired, and listed where a person decides."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from onecard.card.v1 import comparison_pb2, values_pb2
from onecard.card.v1.comparison_pb2_grpc import CardComparisonServiceStub
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_broker.directory.model import Directory
from onecard_broker.domain.card_holding import person_of
from onecard_broker.domain.card_state import Card, Cardholder, reference_of
from onecard_broker.operations.card_comparison import Comparing, Difference, DifferenceKind, without_former
from onecard_broker.records.card_cases import CardCase, put_cases
from onecard_broker.records.card_columns import data_digest_of
from onecard_broker.records.card_ranges import KEY_SPACE, CardRanges, LeafRow, select_cards
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol.card_digests import key_bounds, key_of, leaf_digest
from onecard_protocol.clock import now_ms
from onecard_protocol.messages import timestamp

PACKAGE: Final = "onecard.card.v1"
SETTLE_S: Final = 3.0
"""How long a difference must stand: longer than an event is under way."""
PIECE_COUNT: Final = 50_000
"""Cards of the registry that are read at once."""

SCOPES: Final = (comparison_pb2.COMPARISON_SCOPE_ISSUED, comparison_pb2.COMPARISON_SCOPE_FOLLOWED)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScopeDrift:
    """What came of comparing one scope."""

    scope: str
    """``issued`` or ``followed``."""
    here_count: int
    """Cards that the province should have."""
    there_count: int
    """Cards that it has."""
    found: dict[str, int]
    """Differences by kind."""
    repaired: dict[str, int]
    """Those that differ no more."""
    listed: dict[str, int]
    """Those that wait for a person, as they stand now: what has no remedy, or differs in spite of it."""
    is_cut_off: bool
    """Whether there are more than one comparison looks at."""
    request_count: int
    byte_count: int
    """Payloads of requests and answers."""
    seconds: float


class RegistrySide:
    """The registry as `Comparing` asks for it."""

    def __init__(self, ranges: CardRanges) -> None:
        self._ranges = ranges
        self._count = 0

    async def count(self) -> int:
        """How many cards, about."""
        self._count = await self._ranges.count()
        return self._count

    async def leaves(self) -> AsyncIterator[Sequence[tuple[bytes, bytes]]]:
        """(key, leaf digest) of all, by key, in pieces."""
        step = max(1, KEY_SPACE * PIECE_COUNT // max(self._count, 1))
        for first in range(0, KEY_SPACE, step):
            rows = await self._ranges.leaves(first, min(first + step, KEY_SPACE))
            yield await asyncio.to_thread(_leaves, rows)

    async def cards(self, prefixes: Sequence[str]) -> list[comparison_pb2.RegistryCard]:
        """The cards of ranges."""
        found = await self._ranges.cards([key_bounds(prefix) for prefix in prefixes])
        return [registry_card(holder, card) for holder, card in found]


async def find_drift(
    participant: str,
    stub: CardComparisonServiceStub,
    database: LiveConnection,
    directory: Directory,
    *,
    is_repairing: bool,
    settle_s: float = SETTLE_S,
    tell: Callable[[str], None] = lambda text: None,
) -> list[ScopeDrift]:
    """Compare both scopes of a province, and repair. What is left for a person is kept as cases.

    Raises OneCardError where the province does not answer or refuses, and psycopg.Error. `tell` gets a line for each
    stage.
    """
    entry = directory.participants.get(participant)
    feed = next((feed for feed in entry.feeds if feed.package == PACKAGE), None) if entry is not None else None
    results: list[ScopeDrift] = []
    for scope in SCOPES:
        name = scope_name(scope)
        selection = select_cards(
            participant,
            scope,
            has_everything=feed is not None and feed.has_everything,
            residents_of=sorted(feed.residents_of) if feed is not None else (),
        )
        begun = time.monotonic()
        ranges = CardRanges(database, selection)
        comparing = Comparing(stub, RegistrySide(ranges), scope, settle_s=settle_s)
        tell(f"{participant}: comparing {name} cards / 比对卡数据（{name}）")
        comparison = await comparing.compare()
        found = comparison.differences
        tell(f"{participant}: {len(found)} of {comparison.here_count} differ / 差异 {len(found)} 条")
        listed: list[Difference] = []
        repaired: list[Difference] = []
        if is_repairing and found:
            listed = await comparing.repair(found)
            left = {one.key for one in listed}
            repaired = [one for one in found if one.key not in left]
        if is_repairing:
            cases = [_case(participant, scope, one, await _subjects(ranges, one)) for one in listed]
            await put_cases(await database.get(), participant, scope, cases, is_complete=not comparison.is_cut_off)
        results.append(
            ScopeDrift(
                scope=name,
                here_count=comparison.here_count,
                there_count=comparison.there_count,
                found=_by_kind(found),
                repaired=_by_kind(repaired),
                listed=_by_kind(listed),
                is_cut_off=comparison.is_cut_off,
                request_count=comparing.traffic.request_count,
                byte_count=comparing.traffic.byte_count,
                seconds=round(time.monotonic() - begun, 3),
            )
        )
    return results


def scope_name(scope: int) -> str:
    """``issued`` or ``followed``."""
    return comparison_pb2.ComparisonScope.Name(scope).removeprefix("COMPARISON_SCOPE_").lower()


def registry_card(holder: Cardholder, card: Card) -> comparison_pb2.RegistryCard:
    """A card of the registry as a repair tells it."""
    return comparison_pb2.RegistryCard(
        person=person_of(holder),
        copied=comparison_pb2.CopiedCard(
            card=reference_of(card.key),
            social_state=card.social.state,  # type: ignore[arg-type] # the state's integers are the enums'
            social_version=card.social.version,
            financial_state=card.financial.state,  # type: ignore[arg-type]
            financial_version=card.financial.version,
            data_digest=data_digest_of(card),
        ),
        data=values_pb2.CardData(
            generation=card.generation,
            specification_version=card.specification_version,
            card_class=card.card_class,
            recognition_code=card.recognition_code,
            institution_code=card.institution_code,
            issue_day=_day(card.issue_day),
            expiry_day=_day(card.expiry_day),
            is_contactless=card.is_contactless,
            has_transit_mark=card.has_transit_mark,
            certificate_serial=card.certificate_serial,
            production_kind=_coded("mohrss.aca017", card.production_kind),
            production_way=_coded("mohrss.aca015", card.production_way),
            bank=card.bank,
            bank_card_number=card.bank_card_number,
            residence_area=card.residence_area,
            photo_digest=card.photo_digest,
            electronic_card_id=card.electronic_card_id,
        ),
        holder=values_pb2.HolderDetails(name=holder.name),
        social_changed_time=timestamp(card.social.changed_ms) if card.social.version else None,
        financial_changed_time=timestamp(card.financial.changed_ms) if card.financial.version else None,
    )


def _leaves(rows: Sequence[LeafRow]) -> list[tuple[bytes, bytes]]:
    counted = without_former(rows, lambda row: (row[0], row[2], row[1]))
    return [(row[0], leaf_digest(*row)) for row in counted]


def _coded(system: str, code: str) -> exchange_values_pb2.CodedValue | None:
    """A code of which the registry keeps no system, because the protocol knows only one."""
    return exchange_values_pb2.CodedValue(system=system, version="1", code=code) if code else None


def _day(number: int) -> exchange_values_pb2.CalendarDay | None:
    if not number:
        return None
    return exchange_values_pb2.CalendarDay(year=number // 10_000, month=number // 100 % 100, day=number % 100)


def _by_kind(differences: Sequence[Difference]) -> dict[str, int]:
    counts = Counter(one.kind for one in differences)
    return {kind.value: counts[kind] for kind in DifferenceKind if counts[kind]}


async def _subjects(ranges: CardRanges, one: Difference) -> str:
    """The pseudonyms of the persons under whom a card stands twice, for who links their numbers."""
    if one.kind is not DifferenceKind.TWICE_HERE:
        return ""
    found = await ranges.cards([key_bounds(key_of(*one.key).hex())])
    return ", subjects " + " ".join(sorted(holder.subject for holder, card in found if card.key == one.key))


def _case(participant: str, scope: int, one: Difference, subjects: str) -> CardCase:
    return CardCase(
        participant=participant,
        scope=scope,
        issuer=one.card.issuer,
        number=one.card.number,
        sequence=one.card.sequence or 1,
        kind=one.kind.value,
        here="" if one.here is None else _standing(one.here.copied) + subjects,
        there="" if one.there is None else _standing(one.there),
        found_ms=now_ms(),
    )


def _standing(card: comparison_pb2.CopiedCard) -> str:
    """Both machines for a person: ``ACTIVE 3, NOT_ACTIVATED 1, data 0f1e…``."""
    social = values_pb2.SocialState.Name(card.social_state).removeprefix("SOCIAL_STATE_")
    financial = values_pb2.FinancialState.Name(card.financial_state).removeprefix("FINANCIAL_STATE_")
    digest = card.data_digest.hex()[:8]
    return f"{social} {card.social_version}, {financial} {card.financial_version}, data {digest}"
