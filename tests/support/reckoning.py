"""After a load: what hospital, adapters, hub and the insured province's core each hold, compared with one another.

Everything is read where it lies: the hospital's own trades, the adapters' SQLite files, the hub's journal, inboxes and
rows, and the core's ledger, which is asked for each transaction by the number that it was sent under.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import psycopg

from onecard.medical.v1 import settlement_pb2
from onecard_adapters.runtime.context import local_transaction_id_of
from onecard_adapters.runtime.inbox import InboxState
from onecard_adapters.runtime.outbox import OutboxState
from onecard_adapters.runtime.store_file import read_store
from onecard_broker.domain.medical_state import Encounter, Transaction, decode_encounter
from onecard_broker.domain.settlement_states import Kind, Phase
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.scenarios.accounts import Mark, take_accounts
from onecard_stubs.sichuan import soap
from onecard_stubs.sichuan.core import PATH
from tests.support.load import CANCEL, INSURED, REFUSED, SETTLE, SteadfastHospital, Trade, Ward

_ABSENT, _EXECUTED, _UNDONE = "0", "1", "2"
# What the core must hold of a transaction that the hub knows in this state.
_LEDGER: Final = {
    Phase.STANDING: _EXECUTED,
    Phase.VOIDED: _UNDONE,
    Phase.REVERSED: _UNDONE,
    Phase.FAILED: _ABSENT,
    Phase.NEVER_EXECUTED: _ABSENT,
}
_POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What each side holds about the money."""

    encounters: tuple[Encounter, ...]
    ledger: dict[bytes, str]
    """By the hub's transaction, what the core says of it."""
    standing_count: int
    undone_count: int
    """Settlements of the core, all of them."""

    @property
    def transactions(self) -> list[Transaction]:
        """Settlements and cancellations of the hub."""
        return [transaction for encounter in self.encounters for transaction in encounter.transactions]

    def by_local_id(self) -> dict[str, Transaction]:
        """By the msgid of the hospital."""
        return {local_id_of(transaction): transaction for transaction in self.transactions}


def local_id_of(transaction: Transaction) -> str:
    """The hospital's msgid of a transaction."""
    question = settlement_pb2.QuerySettlementRequest.FromString(transaction.question)
    return question.original_local_transaction_id


async def everything_agrees(country: Country, ward: Ward, *, timeout_s: float = 240) -> Books:
    """Wait until nothing is under way, then require that nobody lost, doubled or contradicts anything."""
    deadline = time.monotonic() + timeout_s
    running = country.running()
    open_ = await what_is_open(country, running)
    while open_ and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_S)
        open_ = await what_is_open(country, running)
    _require_none("still open", open_)
    accounts = await take_accounts(running, Mark(since_ms=0), with_stories=False)
    _require_none("lost", accounts.lost)
    _require_none("doubled", accounts.doubled)
    _require_none("unknown", accounts.unknown)
    books = await read_books(country, running)
    _require_none("contradictory", contradictions(books, ward.hospital))
    await _repeats_are_answered_alike(ward.hospital)
    return books


def _require_none(what: str, found: Sequence[str]) -> None:
    assert not found, f"{len(found)} {what}:\n" + "\n".join(found[:20])


async def what_is_open(country: Country, running: RunningCountry) -> list[str]:
    """Messages that an adapter still owes something for, and transactions of the hub without an end."""
    open_ = [
        f"{participant}: {what}"
        for participant, file in running.adapter_stores.items()
        for what in await asyncio.to_thread(_open_in_store, file)
    ]
    return open_ + [
        f"hub: {transaction.kind} {transaction.id.hex()} is {transaction.phase}"
        for encounter in await read_encounters(country)
        for transaction in encounter.transactions
        if transaction.phase not in _LEDGER
    ]


async def read_books(country: Country, running: RunningCountry) -> Books:
    """What hub and core hold."""
    encounters = await read_encounters(country)
    ids = [transaction.id for encounter in encounters for transaction in encounter.transactions]
    url = running.stub_urls[INSURED]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        found = await asyncio.gather(*(_in_ledger(session, f"{url}{PATH}", message_id) for message_id in ids))
        async with session.post(f"{url}/control/command/describe", json={}) as response:
            counts = await response.json()
    return Books(
        encounters=tuple(encounters),
        ledger=dict(zip(ids, found, strict=True)),
        standing_count=counts["settlements_standing"],
        undone_count=counts["settlements_undone"],
    )


async def phases_by_msgid(country: Country) -> dict[str, Phase]:
    """The hub's state of each settlement and cancellation, by the hospital's msgid."""
    encounters = await read_encounters(country)
    return {local_id_of(found): found.phase for encounter in encounters for found in encounter.transactions}


def contradictions(books: Books, hospital: SteadfastHospital) -> list[str]:
    """Everything in which hospital, hub and core do not say the same."""
    found = [
        f"the hub says {transaction.phase}, the core {books.ledger[transaction.id]}: {local_id_of(transaction)}"
        for transaction in books.transactions
        if books.ledger[transaction.id] != _LEDGER[transaction.phase]
    ]
    found += [
        f"stay {encounter.visit_id} was settled {count} times"
        for encounter in books.encounters
        if (count := sum(_stands(transaction) for transaction in encounter.transactions)) > 1
    ]
    phases = Counter(transaction.phase for transaction in books.transactions if transaction.kind is Kind.SETTLEMENT)
    told = phases[Phase.STANDING], phases[Phase.VOIDED] + phases[Phase.REVERSED]
    if told != (books.standing_count, books.undone_count):
        found.append(f"standing, undone: the hub has {told}, the core {books.standing_count, books.undone_count}")
    at_hub = books.by_local_id()
    if len(at_hub) != len(books.transactions):
        found.append("the hub holds two transactions of one msgid")
    for trade in [*hospital.of(SETTLE), *hospital.of(CANCEL)]:
        found += _contradiction(trade, at_hub.get(trade.msgid))
    unknown = set(at_hub) - set(hospital.trades)
    return found + [f"nobody asked for {msgid}" for msgid in unknown]


def _contradiction(trade: Trade, transaction: Transaction | None) -> list[str]:
    done_ids = {answer.output["setlinfo"]["setl_id"] for answer in trade.answers if answer.is_success}
    is_refused = any(answer.code == REFUSED for answer in trade.answers)
    what = f"{trade.infno} {trade.msgid}"
    if len(done_ids) > 1 or (done_ids and is_refused):
        return [f"{what}: the hospital was told {len(done_ids)} settlements, refused: {is_refused}"]
    phase = None if transaction is None else transaction.phase
    if done_ids and (transaction is None or phase in {Phase.FAILED, Phase.NEVER_EXECUTED}):
        return [f"{what}: the hospital was told that it is done, the hub has {phase}"]
    if transaction is not None and done_ids and transaction.settlement_id not in {*done_ids, ""}:
        return [f"{what}: the hub has another settlement number than the hospital"]
    if is_refused and phase in {Phase.STANDING, Phase.VOIDED}:
        return [f"{what}: the hospital was refused, the hub has {phase}"]
    return []


def _stands(transaction: Transaction) -> bool:
    return transaction.kind is Kind.SETTLEMENT and transaction.phase is Phase.STANDING


async def _repeats_are_answered_alike(hospital: SteadfastHospital) -> None:
    """The same bytes again: the one outcome again."""
    for trade in [*hospital.of(SETTLE), *hospital.of(CANCEL)]:
        if trade.is_done:
            first = trade.settlement_id
            again = await hospital.attempt(trade)
            assert again is not None
            assert again.is_success, again.text
            assert again.output["setlinfo"]["setl_id"] == first


# ---- reading ---------------------------------------------------------------------------------------------------------


async def read_encounters(country: Country) -> list[Encounter]:
    """The hub's stays."""
    async with await psycopg.AsyncConnection.connect(country.database, autocommit=True) as connection:
        cursor = await connection.execute("SELECT data FROM aggregates WHERE key LIKE 'medical/encounter/%'")
        return [decode_encounter(bytes(row[0])) for row in await cursor.fetchall()]


async def _in_ledger(session: aiohttp.ClientSession, url: str, message_id: bytes) -> str:
    """What the core knows under the number that the adapter called it with (0708)."""
    fields = {"otransid": local_transaction_id_of(message_id), "ykc618": ""}
    body = soap.write_call(soap.TEXT_OPERATION, "0708", fields)
    async with session.post(url, data=body, headers={"Content-Type": soap.CONTENT_TYPE}) as response:
        return soap.read(await response.read()).root.findtext("output/ykc701") or ""


def _open_in_store(file: Path) -> list[str]:
    with read_store(file) as connection:
        outbox = connection.execute(
            "SELECT method, state, hex(id) FROM outbox WHERE state < ?", (int(OutboxState.ENDED),)
        ).fetchall()
        inbox = connection.execute(
            "SELECT state, hex(id) FROM inbox WHERE state < ?", (int(InboxState.DONE),)
        ).fetchall()
    return [
        *(f"outbox {OutboxState(state).name} {method} {message_id}" for method, state, message_id in outbox),
        *(f"inbox {InboxState(state).name} {message_id}" for state, message_id in inbox),
    ]
