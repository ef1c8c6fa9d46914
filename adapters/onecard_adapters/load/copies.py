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

from onecard.card.v1 import change_pb2, replacement_pb2, snapshot_pb2, values_pb2
from onecard.card.v1.comparison_pb2_grpc import add_CardComparisonServiceServicer_to_server
from onecard_adapters.cards.comparison import CardComparisonServicer
from onecard_adapters.cards.copies import CardCopies
from onecard_adapters.cards.copy_trees import CopyTrees
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.cards.port import CardOffice, Change, LocalAccount, LocalCard
from onecard_adapters.load import card_messages, reports
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.settings import AdapterSettings
from onecard_protocol.card_snapshot import write_snapshot

_WRITTEN_COUNT: Final = 2_000
_HOME_AREA: Final = "440100"
_ELSEWHERE_EVERY: Final = 10
"""Of so many holders one lives in another province than the one that issued the card."""
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


def card(serial: int) -> change_pb2.ReportSocialChangeRequest:
    """A card in use, as its issuer tells of it."""
    change = card_messages.change(serial, 1)
    if serial % _ELSEWHERE_EVERY:
        change.data.residence_area = _HOME_AREA
    return change


def write_cards(file: Path, card_count: int) -> None:
    """The cards as a snapshot of their issuer."""
    with file.open("wb") as stream:
        write_snapshot(
            stream,
            card_messages.ISSUER,
            card_count,
            (snapshot_pb2.SnapshotCard(social=card(serial)).SerializeToString() for serial in range(1, card_count + 1)),
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

    The report, which appears when all is ready, tells how many differences of each kind were planted.
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
        planted: Counter[str] = Counter()
        changes = copied_changes(card_count, differing_count, planted)
        while await _write(exchange, desk.copies, changes):
            pass
        seconds = round(time.monotonic() - begun, 1)
        await asyncio.to_thread(reports.write, report, {"planted": dict(planted), "filling_seconds": seconds})
        await stopping.wait()


async def _write(
    exchange: Exchange, copies: CardCopies, changes: Iterator[change_pb2.ReportSocialChangeRequest]
) -> bool:
    """Write some more; False if there were none."""
    some = list(itertools.islice(changes, _WRITTEN_COUNT))

    def take(connection: sqlite3.Connection) -> None:
        for change in some:
            copies.take(connection, change)

    await exchange.store.run(take)
    return bool(some)


def copied_changes(
    card_count: int, differing_count: int, planted: Counter[str]
) -> Iterator[change_pb2.ReportSocialChangeRequest]:
    """What the copies hold, card by card."""
    step = max(1, card_count // max(1, differing_count))
    for serial in range(1, card_count + 1):
        change = card(serial)
        if serial % step or sum(planted.values()) >= differing_count:
            yield change
            continue
        kind = KINDS[serial // step % len(KINDS)]
        planted[kind] += 1
        match kind:
            case "missing-here":
                yield change
                unknown = card(serial)
                unknown.card.sequence = 2
                yield unknown
            case "other-version":
                change.version = 2
                yield change
            case "other-state":
                change.state = values_pb2.SOCIAL_STATE_LOST
                yield change
            case "other-data":
                change.data.card_class = "2"
                yield change
            case _:
                pass
