"""The load of comparisons: a province whose copies of a million cards agree with the registry but for some.

Both sides come from the same synthetic cards: `write_cards` makes the snapshot that the registry loads, `hold_copies`
the copies, with differences of every kind planted.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from onecard.card.v1 import comparison_pb2, replacement_pb2, snapshot_pb2, values_pb2
from onecard.card.v1.comparison_pb2_grpc import add_CardComparisonServiceServicer_to_server
from onecard_adapters.cards.comparison import CardComparisonServicer
from onecard_adapters.cards.copies import CardCopies
from onecard_adapters.cards.copy_trees import CopyTrees
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.cards.port import CardOffice, Change, LocalAccount, LocalCard
from onecard_adapters.load import card_messages, reports
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.settings import AdapterSettings
from onecard_protocol.card_digests import data_digest
from onecard_protocol.card_snapshot import write_snapshot

_WRITTEN_COUNT: Final = 2_000
_HOME_AREA: Final = "440100"
_ELSEWHERE_EVERY: Final = 10
"""Of so many holders one lives in another province than the one that issued the card."""
_UNOPENED_EVERY: Final = 7
"""Of the banks' accounts one in so many was not told of yet; no divisor of the steps between differences."""
KINDS: Final = ("missing-here", "missing-there", "other-version", "other-state", "other-data")


class _NoOffice(CardOffice):
    """No local system: copies are compared, not repaired."""

    async def carry_out(self, request: replacement_pb2.CarryOutStepRequest) -> replacement_pb2.CarryOutStepResponse:
        """Never asked."""
        raise NotImplementedError

    async def tell(self, change: Change) -> None:
        """Nobody is told."""

    async def find(self, card: values_pb2.CardReference) -> LocalCard | LocalAccount | None:
        """It has no card."""
        return None


def card(serial: int, *, has_account: bool) -> snapshot_pb2.SnapshotCard:
    """A card in use as its issuer tells of it, and its bank if it is to have an account."""
    told = snapshot_pb2.SnapshotCard(social=card_messages.change(serial, 1))
    if serial % _ELSEWHERE_EVERY:
        told.social.data.residence_area = _HOME_AREA
    if has_account:
        told.social.data.bank = card_messages.BANK
        if serial % _UNOPENED_EVERY:
            told.financial.CopyFrom(card_messages.account(serial))
    return told


def write_cards(file: Path, card_count: int, *, has_accounts: bool = False) -> None:
    """The cards as a snapshot of their issuer."""
    serials = range(1, card_count + 1)
    with file.open("wb") as stream:
        write_snapshot(
            stream,
            card_messages.ISSUER,
            card_count,
            (card(serial, has_account=has_accounts).SerializeToString() for serial in serials),
        )


async def hold_copies(
    settings: AdapterSettings,
    *,
    card_count: int,
    differing_count: int,
    report: Path,
    stopping: asyncio.Event,
) -> None:
    """Fill the store of the cards' issuer and answer comparisons until told to stop.

    The report, which appears when all is ready, tells how many differences of each kind were planted, and how many of
    them in accounts.
    """
    exchange = Exchange.open(settings)
    desk = ExchangeCardDesk(exchange)
    add_CardComparisonServiceServicer_to_server(
        CardComparisonServicer(
            store=exchange.store,
            copies=desk.copies,
            trees=CopyTrees(exchange.store, desk.copies),
            desk=desk,
            office=_NoOffice(),
        ),
        exchange,
    )
    async with exchange:
        await exchange.wait_ready()
        begun = time.monotonic()
        planted, in_accounts = Counter[str](), Counter[str]()
        cards = copied_cards(card_count, differing_count, planted, in_accounts)
        while await _write(exchange, desk.copies, cards):
            pass
        figures = {
            "planted": dict(planted),
            "planted_in_accounts": dict(in_accounts),
            "filling_seconds": round(time.monotonic() - begun, 1),
        }
        await asyncio.to_thread(reports.write, report, figures)
        await stopping.wait()


async def _write(exchange: Exchange, copies: CardCopies, cards: Iterator[comparison_pb2.CopiedCard]) -> bool:
    """Write some more; False if there were none."""
    some = list(itertools.islice(cards, _WRITTEN_COUNT))

    def put(connection: sqlite3.Connection) -> None:
        for one in some:
            copies.put(connection, one, card_messages.BANK)

    await exchange.store.run(put)
    return bool(some)


def copied_cards(
    card_count: int, differing_count: int, planted: Counter[str], in_accounts: Counter[str]
) -> Iterator[comparison_pb2.CopiedCard]:
    """What the copies hold, card by card, of cards with accounts."""
    step = max(1, card_count // max(1, differing_count))
    for serial in range(1, card_count + 1):
        told = card(serial, has_account=True)
        if serial % step or planted.total() >= differing_count:
            yield copy_of(told)
            continue
        turn, place = divmod(serial // step, len(KINDS))
        kind = KINDS[place]
        planted[kind] += 1
        match kind:
            case "missing-here":
                yield copy_of(told)
                told.social.card.sequence = 2
            case "missing-there":
                continue
            case "other-version":
                in_accounts[kind] += _make_other_version(told, serial, turn)
            case "other-state":
                is_of_account = turn % 2 == 1 and told.HasField("financial")
                if is_of_account:
                    told.financial.state = values_pb2.FINANCIAL_STATE_FROZEN
                else:
                    told.social.state = values_pb2.SOCIAL_STATE_LOST
                in_accounts[kind] += is_of_account
            case _:
                told.social.data.card_class = "2"
        yield copy_of(told)


def _make_other_version(told: snapshot_pb2.SnapshotCard, serial: int, turn: int) -> bool:
    """Of one machine by turns; True if it is the account's, of which one side may know nothing."""
    if not told.HasField("financial"):
        told.financial.CopyFrom(card_messages.account(serial))
        return True
    match turn % 4:
        case 0:
            told.social.version += 1
        case 1:
            told.financial.version -= 1
        case 2:
            told.financial.version += 1
        case _:
            told.ClearField("financial")
    return turn % 4 > 0


def copy_of(told: snapshot_pb2.SnapshotCard) -> comparison_pb2.CopiedCard:
    """The copy that agrees with what was told."""
    return comparison_pb2.CopiedCard(
        card=told.social.card,
        social_state=told.social.state,
        social_version=told.social.version,
        financial_state=told.financial.state,
        financial_version=told.financial.version,
        data_digest=data_digest(told.social.data),
    )
