"""Where a province's copy of cards and the registry differ, and what is to be done about each difference.

Owns the walk over both sides and the rules of repair; knows neither the registry's rows nor the way to the province
(`Registry`, the stub). A difference counts if it is the same a moment later: what is on its way is none.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence, Set
from typing import Any, Final, Protocol, TypeVar

from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import comparison_pb2, values_pb2
from onecard.card.v1.comparison_pb2_grpc import CardComparisonServiceStub
from onecard.exchange.v1 import errors_pb2
from onecard_protocol.card_digests import (
    DIGEST_BYTES,
    PARTS,
    PREFIXES_PER_REQUEST_MAX,
    DigestTree,
    TreeBuilding,
    depth_for,
    find_differing_ranges,
    key_of,
)
from onecard_protocol.errors import OneCardError, policy

ATTEMPTS_MAX: Final = 30
"""Of a request that is refused for a cause that passes: such as digests that are still being computed."""
RANGES_MAX: Final = 4_096
"""Ranges, of sixteen cards or some more each, that are looked at: all that is held in memory of cards."""
_PAUSE_S: Final = 1.0
_REFUSED_FOR_A_CARD: Final = frozenset(
    {errors_pb2.ERROR_REASON_PAYLOAD_INVALID, errors_pb2.ERROR_REASON_IDENTITY_INVALID}
)

_Answer = TypeVar("_Answer", bound=ProtoMessage)
_Item = TypeVar("_Item")
CardKey = tuple[str, str, int]


class Registry(Protocol):
    """The registry's side: the cards that a province should have in a scope."""

    async def count(self) -> int:
        """How many, about."""

    def leaves(self) -> AsyncIterator[Sequence[tuple[bytes, bytes]]]:
        """(key, leaf digest) of all, by key, in pieces."""

    async def cards(self, prefixes: Sequence[str]) -> list[comparison_pb2.RegistryCard]:
        """The cards of ranges, with what a repair would tell."""


class DifferenceKind(enum.StrEnum):
    """How a card differs; the first that holds."""

    TWICE_HERE = "twice-here"
    """The registry has it under two persons, and in use under one of whom its issuer told earlier."""
    MISSING_HERE = "missing-here"
    """The registry lacks a card that the province has."""
    MISSING_THERE = "missing-there"
    OTHER_VERSION = "other-version"
    OTHER_STATE = "other-state"
    OTHER_DATA = "other-data"


class Remedy(enum.StrEnum):
    """What is done about a difference."""

    REPORT_AGAIN = "report-again"
    """The issuer reports the card again, and its signed event repairs the registry."""
    REPAIR_COPY = "repair-copy"
    """The province takes over what the registry says."""
    FORGET = "forget"
    """The province forgets a card that is not its to hold."""
    PERSON = "person"
    """No authority is clear: it is listed for a person."""


_AT_ONCE: Final = {Remedy.REPORT_AGAIN: 100, Remedy.REPAIR_COPY: 50, Remedy.FORGET: 50}
"""Remedies that are asked for, with the number of cards of one request."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One card that differs."""

    kind: DifferenceKind
    here: comparison_pb2.RegistryCard | None
    """As the registry has it."""
    there: comparison_pb2.CopiedCard | None
    """As the province has it."""

    @property
    def card(self) -> values_pb2.CardReference:
        """The card."""
        if self.here is not None:
            return self.here.copied.card
        assert self.there is not None
        return self.there.card

    @property
    def key(self) -> CardKey:
        """The card's key."""
        return _key(self.card)


@dataclasses.dataclass(slots=True, kw_only=True)
class Traffic:
    """What was exchanged: payloads of requests and answers."""

    request_count: int = 0
    byte_count: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What a comparison found."""

    differences: Sequence[Difference]
    here_count: int
    there_count: int
    is_cut_off: bool
    """Whether more differ than one comparison looks at; the next one finds them."""


class Comparing:
    """Compares and repairs one scope of one province."""

    def __init__(
        self,
        stub: CardComparisonServiceStub,
        registry: Registry,
        scope: comparison_pb2.ComparisonScope,
        *,
        settle_s: float,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """`settle_s` is how long a difference must stand to be one."""
        self._stub = stub
        self._registry = registry
        self._scope = scope
        self._settle_s = settle_s
        self._pause_s = pause_s
        self._depth = 1
        self.traffic = Traffic()

    async def compare(self) -> Comparison:
        """Find what differs. Raises OneCardError where the province does not answer."""
        # By the larger side: neither is ever read whole because the other has little.
        depth = max(1, depth_for(await self._registry.count()))
        there_count = (await self._digests(depth, [""])).card_count
        tree = await self._build(max(depth, depth_for(there_count)))
        self._depth = tree.depth
        prefixes = await self._walk(tree)
        differences = await self._look(prefixes[:RANGES_MAX])
        if differences:
            await asyncio.sleep(self._settle_s)
            seen = await self._look_again(differences)
            differences = {key: one for key, one in seen.items() if differences.get(key) == one}
        return Comparison(
            differences=list(differences.values()),
            here_count=tree.card_count,
            there_count=there_count,
            is_cut_off=len(prefixes) > RANGES_MAX,
        )

    async def repair(self, differences: Iterable[Difference]) -> list[Difference]:
        """Repair what can be, of what was compared; returns what a person must decide.

        A card that breaks a rule of the protocol by itself is left to a person; it does not hold up the others. So is
        what still differs afterwards, as it stands then: a remedy that was taken is none until it shows, since the hub
        may refuse what an issuer reports again. Raises OneCardError where the province does not answer.
        """
        by_remedy: dict[Remedy, dict[CardKey, Difference]] = {remedy: {} for remedy in Remedy}
        for one in differences:
            for remedy in remedies_for(self._scope, one):
                by_remedy[remedy][one.key] = one
        left = dict(by_remedy[Remedy.PERSON])
        for remedy, at_once in _AT_ONCE.items():
            chosen = by_remedy[remedy]
            for keys in _parts(list(chosen), at_once):
                for key in await self._carry_out(remedy, [chosen[key] for key in keys]):
                    left[key] = chosen[key]
        asked = {key for remedy in _AT_ONCE for key in by_remedy[remedy]}
        return list({**await self._unrepaired(asked - left.keys()), **left}.values())

    async def _unrepaired(self, keys: Set[CardKey]) -> dict[CardKey, Difference]:
        """What still differs of these; looks again as long as it becomes less, for reports take their time."""
        while keys:
            await asyncio.sleep(self._settle_s)
            seen = await self._look_again(keys)
            found = {key: seen[key] for key in keys if key in seen}
            if len(found) == len(keys):
                return found
            keys = found.keys()
        return {}

    async def _carry_out(self, remedy: Remedy, differences: Sequence[Difference]) -> list[CardKey]:
        """Ask for one remedy of some cards; returns those of which it was refused."""
        try:
            if remedy is Remedy.REPORT_AGAIN:
                reports = [_asked_report(one) for one in differences]
                answer = await self._ask(self._stub.ReportAgain, comparison_pb2.ReportAgainRequest(cards=reports))
                asked = {one.key for one in differences}
                return [_key(card) for card in answer.unknown if _key(card) in asked]
            request = (
                comparison_pb2.RepairCopyRequest(gone=[one.card for one in differences])
                if remedy is Remedy.FORGET
                else comparison_pb2.RepairCopyRequest(cards=[one.here for one in differences if one.here is not None])
            )
            await self._ask(self._stub.RepairCopy, request)
        except OneCardError as error:
            if error.reason not in _REFUSED_FOR_A_CARD:
                raise
            if len(differences) == 1:
                return [differences[0].key]
            middle = len(differences) // 2
            return [
                key
                for part in (differences[:middle], differences[middle:])
                for key in await self._carry_out(remedy, part)
            ]
        return []

    async def _build(self, depth: int) -> DigestTree:
        building = TreeBuilding(depth)
        async for piece in self._registry.leaves():
            building.add(piece)
        return await asyncio.to_thread(building.finish)

    async def _walk(self, tree: DigestTree) -> list[str]:
        """The lowest ranges that differ."""
        steps = find_differing_ranges(tree)
        try:
            prefixes = next(steps)
            while True:
                answer = await self._digests(tree.depth, prefixes)
                prefixes = steps.send([one.digests for one in answer.ranges])
        except StopIteration as end:
            found: list[str] = end.value
            return found

    async def _digests(self, depth: int, prefixes: Sequence[str]) -> comparison_pb2.ReadDigestsResponse:
        """The digests of ranges. Raises PAYLOAD_INVALID where the answer is not to the question."""
        request = comparison_pb2.ReadDigestsRequest(scope=self._scope, depth=depth, prefixes=prefixes)
        answer: comparison_pb2.ReadDigestsResponse = await self._ask(self._stub.ReadDigests, request)
        if [one.prefix for one in answer.ranges] != list(prefixes) or any(
            len(one.digests) != PARTS * DIGEST_BYTES for one in answer.ranges
        ):
            raise OneCardError(
                errors_pb2.ERROR_REASON_PAYLOAD_INVALID, violations=[("ranges", "are not those asked for")]
            )
        return answer

    async def _look_again(self, keys: Iterable[CardKey]) -> dict[CardKey, Difference]:
        """Compare the ranges of these cards."""
        return await self._look(sorted({key_of(*key).hex()[: self._depth] for key in keys}))

    async def _look(self, prefixes: Sequence[str]) -> dict[CardKey, Difference]:
        """Compare ranges card by card."""
        found: dict[CardKey, Difference] = {}
        for part in _parts(prefixes, PREFIXES_PER_REQUEST_MAX):
            rows = without_former(await self._registry.cards(part), _stands)
            here = {_key(card.copied.card): card for card in sorted(rows, key=lambda row: _stands(row)[1])}
            there = {_key(card.card): card for card in await self._read(part)}
            twice: Set[CardKey] = set()
            if self._scope == comparison_pb2.COMPARISON_SCOPE_ISSUED:
                twice = {key for key, count in Counter(_stands(row)[0] for row in rows).items() if count > 1}
            for key in sorted(here.keys() | there.keys()):
                kind = DifferenceKind.TWICE_HERE if key in twice else kind_of(here.get(key), there.get(key))
                if kind is not None:
                    found[key] = Difference(kind=kind, here=here.get(key), there=there.get(key))
        return found

    async def _read(self, prefixes: Sequence[str]) -> list[comparison_pb2.CopiedCard]:
        cards: list[comparison_pb2.CopiedCard] = []
        after_key = ""
        while True:
            answer = await self._ask(
                self._stub.ReadCards,
                comparison_pb2.ReadCardsRequest(scope=self._scope, prefixes=prefixes, after_key=after_key),
            )
            cards += answer.cards
            if not answer.is_cut_off:
                return cards
            after = key_of(*_key(answer.cards[-1].card)).hex() if answer.cards else ""
            if after <= after_key:
                raise OneCardError(errors_pb2.ERROR_REASON_PAYLOAD_INVALID, "the province's pages of cards do not end")
            after_key = after

    async def _ask(self, method: Callable[[Any], Awaitable[_Answer]], request: ProtoMessage) -> Any:
        """One request; a cause that passes is waited for, as a message of its own each time."""
        for attempt in range(ATTEMPTS_MAX):
            self.traffic.request_count += 1
            self.traffic.byte_count += request.ByteSize()
            try:
                answer = await method(request)
            except OneCardError as error:
                if not policy(error.reason).retryable or attempt == ATTEMPTS_MAX - 1:
                    raise
                await asyncio.sleep(self._pause_s)
                continue
            self.traffic.byte_count += answer.ByteSize()
            return answer
        raise AssertionError("unreachable")


def without_former(rows: Sequence[_Item], stands: Callable[[_Item], tuple[Hashable, int, int]]) -> Sequence[_Item]:
    """The registry's rows without those of a card under a former number of its holder, where it is not in use there.

    `stands` gives a row's card, version and state of the social application. The highest version tells whose it is now.
    """
    newest: dict[Hashable, int] = {}
    for key, version, _ in map(stands, rows):
        newest[key] = max(version, newest.get(key, 0))
    if len(newest) == len(rows):
        return rows
    in_use = values_pb2.SOCIAL_STATE_ACTIVE
    return [row for row in rows for key, version, state in (stands(row),) if version == newest[key] or state == in_use]


def kind_of(here: comparison_pb2.RegistryCard | None, there: comparison_pb2.CopiedCard | None) -> DifferenceKind | None:
    """How a card differs; None if it does not."""
    if here is None:
        return None if there is None else DifferenceKind.MISSING_HERE
    if there is None:
        return DifferenceKind.MISSING_THERE
    ours = here.copied
    if (ours.social_version, ours.financial_version) != (there.social_version, there.financial_version):
        return DifferenceKind.OTHER_VERSION
    if (ours.social_state, ours.financial_state) != (there.social_state, there.financial_state):
        return DifferenceKind.OTHER_STATE
    return DifferenceKind.OTHER_DATA if ours.data_digest != there.data_digest else None


def remedies_for(scope: comparison_pb2.ComparisonScope, one: Difference) -> frozenset[Remedy]:
    """What is done, by whose word counts.

    Of a followed card the registry's does. Of an own one the issuer's newest version does, on whichever side it is;
    the account's is the bank's, which the registry has. Where one version has two contents, or the issuer lacks a card
    that it issued, or the registry has it as two persons', nobody's word is clear.
    """
    if scope == comparison_pb2.COMPARISON_SCOPE_FOLLOWED:
        return frozenset({Remedy.FORGET if one.here is None else Remedy.REPAIR_COPY})
    if one.there is None or one.kind is DifferenceKind.TWICE_HERE:
        return frozenset({Remedy.PERSON})
    if one.here is None:
        return frozenset({Remedy.REPORT_AGAIN})
    ours, theirs = one.here.copied, one.there
    remedies: set[Remedy] = set()
    if ours.social_version != theirs.social_version:
        remedies.add(Remedy.REPORT_AGAIN)
    elif (ours.social_state, ours.data_digest) != (theirs.social_state, theirs.data_digest):
        remedies.add(Remedy.PERSON)
    if ours.financial_version < theirs.financial_version:
        remedies.add(Remedy.PERSON)
    elif (ours.financial_version, ours.financial_state) != (theirs.financial_version, theirs.financial_state):
        remedies.add(Remedy.REPAIR_COPY)
    return frozenset(remedies)


def _asked_report(one: Difference) -> comparison_pb2.AskedReport:
    version = 0 if one.here is None else one.here.copied.social_version
    return comparison_pb2.AskedReport(card=one.card, registry_version=version)


def _key(card: values_pb2.CardReference) -> CardKey:
    return card.issuer, card.number, card.sequence or 1


def _stands(row: comparison_pb2.RegistryCard) -> tuple[CardKey, int, int]:
    return _key(row.copied.card), row.copied.social_version, row.copied.social_state


def _parts(items: Sequence[_Item], size: int) -> Iterable[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
