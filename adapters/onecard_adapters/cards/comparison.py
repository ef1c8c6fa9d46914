"""The province's end of the comparison with the hub's registry: tells digests and cards, reports again, repairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from onecard.card.v1 import change_pb2, comparison_pb2, comparison_pb2_grpc, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.changes import financial_change, social_change
from onecard_adapters.cards.copies import CardCopies
from onecard_adapters.cards.copy_trees import CopyTrees
from onecard_adapters.cards.port import CardOffice, Change
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.store import Store
from onecard_protocol.card_digests import (
    DEPTH_MAX,
    KEY_BYTES,
    PREFIXES_PER_REQUEST_MAX,
    data_digest,
    is_prefix,
)
from onecard_protocol.errors import OneCardError

REPORTS_COUNT_MAX: Final = 100
REPAIRS_COUNT_MAX: Final = 50


class Reporting(Protocol):
    """As much of the desk as tells an own card again."""

    async def report_again(self, request: change_pb2.RequestVersionsRequest, office: CardOffice) -> bool:
        """Tell the card's newest version in a new message; False if neither book nor local system knows the card."""

    async def start_over(self, card: values_pb2.CardReference, office: CardOffice) -> bool:
        """Go on from the registry's version of a card, because the book is behind it; False as above."""


class CardComparisonServicer(comparison_pb2_grpc.CardComparisonServiceServicer):
    """Answers from the copies; asked again, it answers or does the same."""

    def __init__(
        self, *, store: Store, copies: CardCopies, trees: CopyTrees, desk: Reporting, office: CardOffice
    ) -> None:
        self._store = store
        self._copies = copies
        self._trees = trees
        self._desk = desk
        self._office = office

    async def ReadDigests(  # noqa: N802 - the protocol's name
        self, request: comparison_pb2.ReadDigestsRequest, context: ExchangeContext
    ) -> comparison_pb2.ReadDigestsResponse:
        """Digests of the parts of ranges."""
        is_issued = _is_issued(request.scope)
        if not 1 <= request.depth <= DEPTH_MAX:
            raise _invalid("depth", f"is not 1 to {DEPTH_MAX}")
        _check_prefixes(request.prefixes, request.depth - 1)
        tree = await self._trees.tree(request.depth, is_issued=is_issued)
        return comparison_pb2.ReadDigestsResponse(
            ranges=[
                comparison_pb2.RangeDigests(prefix=prefix, digests=tree.parts(prefix)) for prefix in request.prefixes
            ],
            card_count=tree.card_count,
        )

    async def ReadCards(  # noqa: N802 - the protocol's name
        self, request: comparison_pb2.ReadCardsRequest, context: ExchangeContext
    ) -> comparison_pb2.ReadCardsResponse:
        """The cards of ranges, page by page."""
        is_issued = _is_issued(request.scope)
        _check_prefixes(request.prefixes, DEPTH_MAX)
        try:
            after_key = bytes.fromhex(request.after_key)
        except ValueError:
            raise _invalid("after_key", "is no key in hex digits") from None
        if len(after_key) not in {0, KEY_BYTES}:
            raise _invalid("after_key", f"has not {KEY_BYTES} bytes")
        cards, is_cut_off = await self._store.run(
            lambda connection: self._copies.page(connection, request.prefixes, after_key, is_issued=is_issued)
        )
        return comparison_pb2.ReadCardsResponse(cards=cards, is_cut_off=is_cut_off)

    async def ReportAgain(  # noqa: N802 - the protocol's name
        self, request: comparison_pb2.ReportAgainRequest, context: ExchangeContext
    ) -> comparison_pb2.ReportAgainResponse:
        """Own cards again: the version that stands, or one behind the registry's where the book has fallen back."""
        if not 0 < len(request.cards) <= REPORTS_COUNT_MAX:
            raise _invalid("cards", f"are not 1 to {REPORTS_COUNT_MAX}")
        unknown = [asked.card for asked in request.cards if not await self._report(asked)]
        return comparison_pb2.ReportAgainResponse(reported_count=len(request.cards) - len(unknown), unknown=unknown)

    async def RepairCopy(  # noqa: N802 - the protocol's name
        self, request: comparison_pb2.RepairCopyRequest, context: ExchangeContext
    ) -> comparison_pb2.RepairCopyResponse:
        """Copies as the registry says; the card office is told before, so that a crash between tells it twice."""
        if not 0 < len(request.cards) + len(request.gone) <= REPAIRS_COUNT_MAX:
            raise _invalid("cards", f"are not 1 to {REPAIRS_COUNT_MAX}")
        if any(self._copies.is_own(card) for card in request.gone):
            raise _invalid("gone", "names a card that this province issued")
        changed_count = 0
        for card in request.cards:
            changed_count += await self._repair(card)
        changed_count += await self._store.run(
            lambda connection: sum(self._copies.forget(connection, gone) for gone in request.gone)
        )
        return comparison_pb2.RepairCopyResponse(changed_count=changed_count)

    async def _report(self, asked: comparison_pb2.AskedReport) -> bool:
        known = await self._store.run(lambda connection: self._copies.find(connection, asked.card))
        if known is not None and known.social_version < asked.registry_version:
            return await self._desk.start_over(asked.card, self._office)
        request = change_pb2.RequestVersionsRequest(card=asked.card, machine=change_pb2.CARD_MACHINE_SOCIAL)
        return await self._desk.report_again(request, self._office)

    async def _repair(self, told: comparison_pb2.RegistryCard) -> bool:
        wanted = comparison_pb2.CopiedCard()
        wanted.CopyFrom(told.copied)
        known = await self._store.run(lambda connection: self._copies.find(connection, wanted.card))
        if self._copies.is_own(wanted.card):
            if known is None:
                return False
            wanted.social_state, wanted.social_version = known.social_state, known.social_version
            wanted.data_digest = known.data_digest
        elif wanted.data_digest != data_digest(told.data):
            raise _invalid("cards.data", "is not what the digest beside it is of")
        before = known or comparison_pb2.CopiedCard()
        if wanted == known:
            return False
        for change in _changes(told, wanted, before):
            await self._office.tell(change)
        return await self._store.run(lambda connection: self._copies.put(connection, wanted, told.data.bank))


def _changes(
    told: comparison_pb2.RegistryCard, wanted: comparison_pb2.CopiedCard, before: comparison_pb2.CopiedCard
) -> list[Change]:
    """What the card office is to know, as if it came by the feed."""
    changes: list[Change] = []
    if (wanted.social_state, wanted.social_version, wanted.data_digest) != (
        before.social_state,
        before.social_version,
        before.data_digest,
    ):
        changes.append(
            change_pb2.ReportSocialChangeRequest(
                person=told.person,
                card=wanted.card,
                version=wanted.social_version,
                state=wanted.social_state,
                change=social_change(before.social_state, wanted.social_state),
                occurred_time=told.social_changed_time,
                data=told.data,
                holder=told.holder,
            )
        )
    if wanted.financial_version and (wanted.financial_state, wanted.financial_version) != (
        before.financial_state,
        before.financial_version,
    ):
        changes.append(
            change_pb2.ReportFinancialChangeRequest(
                person=told.person,
                card=wanted.card,
                version=wanted.financial_version,
                state=wanted.financial_state,
                change=financial_change(before.financial_state, wanted.financial_state),
                occurred_time=told.financial_changed_time,
                bank_card_number=told.data.bank_card_number,
            )
        )
    return changes


def _is_issued(scope: comparison_pb2.ComparisonScope) -> bool:
    if scope == comparison_pb2.COMPARISON_SCOPE_UNSPECIFIED:
        raise _invalid("scope", "is not stated")
    return scope == comparison_pb2.COMPARISON_SCOPE_ISSUED


def _check_prefixes(prefixes: Sequence[str], digits: int) -> None:
    if not 0 < len(prefixes) <= PREFIXES_PER_REQUEST_MAX:
        raise _invalid("prefixes", f"are not 1 to {PREFIXES_PER_REQUEST_MAX}")
    if any(not is_prefix(prefix, digits) for prefix in prefixes):
        raise _invalid("prefixes", f"one is not up to {digits} hex digits")


def _invalid(field: str, description: str) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_PAYLOAD_INVALID, violations=[(field, description)])
