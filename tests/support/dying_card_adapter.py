"""An adapter process of a card office or bank that kills itself (SIGKILL) once at each named piece of work.

Its exchange, desk, servicers and store are the product's. Its local system is a SQLite file that outlives it: rows that
the test writes and the adapter reads, effects by their key, calls, and the deaths that were died.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

from onecard.card.v1 import change_pb2, replacement_pb2, values_pb2
from onecard.exchange.v1 import message_pb2
from onecard_adapters.cards import book, changes
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.cards.port import Change, LocalAccount, LocalCard
from onecard_adapters.cards.servicers import register_cards
from onecard_adapters.runtime.outbox import Outgoing
from onecard_adapters.runtime.sealing import load_sealer
from onecard_adapters.sdk.assembly import Connection, Signatures
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.sdk.submission import Submission
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import timestamp
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner
from tests.support.card_reports import local_view
from tests.support.certificates import CertificateFiles

NEW_ENABLED: Final = "NEW_ENABLED"
"""The work of telling that the new card is in use."""
ACCOUNT_TOLD: Final = "ACCOUNT_TOLD"
"""The bank's work of taking the new card's enabling, and telling the account again."""
_CARRY_OUT: Final = "/onecard.card.v1.CardReplacementService/CarryOutStep"
_POLL_S: Final = 0.05
_REPOSITORY: Final = Path(__file__).resolve().parents[2]


class LocalSystem:
    """The file. Each writing is durable when it returns."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._opened() as database:
            for table in ("rows (number TEXT PRIMARY KEY, event BLOB)", "calls (name TEXT)", "deaths (name TEXT)"):
                database.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            # No key: an effect that happened twice stands there twice.
            database.execute("CREATE TABLE IF NOT EXISTS effects (name TEXT)")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._file, timeout=10)) as database, database:
            yield database

    def put(self, change: Change) -> None:
        """The test or a step changes a card or an account; the adapter reads it."""
        with self._opened() as database:
            database.execute(
                "INSERT OR REPLACE INTO rows VALUES (?, ?)", (change.card.number, change.SerializeToString())
            )

    def rows(self) -> dict[str, bytes]:
        """The events' bytes by card number."""
        with self._opened() as database:
            return dict(database.execute("SELECT number, event FROM rows"))

    def note(self, table: str, name: str) -> None:
        """A call, an effect or a death."""
        with self._opened() as database:
            database.execute(f"INSERT INTO {table} VALUES (?)", (name,))

    def noted(self, table: str) -> list[str]:
        """In order."""
        with self._opened() as database:
            return [name for (name,) in database.execute(f"SELECT name FROM {table} ORDER BY rowid")]


class DyingOffice:
    """Is a CardOffice whose work has names, at each of which the process dies once at the wanted point."""

    def __init__(self, local: LocalSystem, *, point: str, names: frozenset[str], is_bank: bool, new: str) -> None:
        self._local = local
        self._point = point
        self._names = names
        self._is_bank = is_bank
        self._new = new
        self._under_way: dict[str, str] = {}
        """By the method of the message in which its outcome goes out."""

    def die(self, point: str, name: str) -> None:
        """kill -9, unless that was died before."""
        if point == self._point and name in self._names and name not in self._local.noted("deaths"):
            self._local.note("deaths", name)
            os.kill(os.getpid(), signal.SIGKILL)

    async def carry_out(self, request: replacement_pb2.CarryOutStepRequest) -> replacement_pb2.CarryOutStepResponse:
        """The step, once; its key is its name, as there is one replacement."""
        name = replacement_pb2.ReplacementStep.Name(request.step).removeprefix("REPLACEMENT_STEP_")
        if request.direction == replacement_pb2.STEP_DIRECTION_BACK:
            name = f"back {name}"
        was_already = await self._work(name, _CARRY_OUT)
        if name == "OLD_SUPERSEDED":
            self._end(request.old_card)
        return replacement_pb2.CarryOutStepResponse(was_already=was_already, done_time=timestamp(1), local_id=name)

    async def tell(self, change: Change) -> None:
        """Take a published change, once."""
        is_new = change.card.number == self._new and isinstance(change, change_pb2.ReportSocialChangeRequest)
        if self._is_bank and is_new and change.state == values_pb2.SOCIAL_STATE_ACTIVE:
            await self._work(ACCOUNT_TOLD, changes.REPORT_FINANCIAL)

    async def find(self, card: values_pb2.CardReference) -> LocalCard | LocalAccount | None:
        """As the file has it."""
        event = self._local.rows().get(card.number)
        return None if event is None else self._local_of(event)

    async def poll(self, desk: ExchangeCardDesk) -> None:
        """Show the desk what the file has, for ever."""
        seen: dict[str, bytes] = {}
        while True:
            for number, event in self._local.rows().items():
                if seen.get(number) != event:
                    with contextlib.suppress(OneCardError):  # The hub is not ready yet: again at the next reading.
                        await self._show(desk, number, event)
                        seen[number] = event
            await asyncio.sleep(_POLL_S)

    def watch(self) -> None:
        """Die inside the transaction of a version, and between the commit of an outcome and its sending."""
        put_version, put_outgoing = book.put, Submission.put

        def dying_version(*arguments: Any, is_told: bool) -> None:
            put_version(*arguments, is_told=is_told)
            if name := self._under_way.get(changes.REPORT_SOCIAL):
                self.die("after", name)

        def dying_outgoing(submission: Submission, outgoing: Outgoing) -> None:
            is_outcome = outgoing.kind != message_pb2.MESSAGE_KIND_REQUEST
            if is_outcome and (name := self._under_way.get(outgoing.method)):
                self.die("stored", name)
            put_outgoing(submission, outgoing)

        book.put = dying_version  # type: ignore[assignment]
        Submission.put = dying_outgoing  # type: ignore[method-assign, assignment]

    async def _show(self, desk: ExchangeCardDesk, number: str, event: bytes) -> None:
        local = self._local_of(event)
        if number == self._new and not self._is_bank:
            self._under_way[changes.REPORT_SOCIAL] = NEW_ENABLED
            self.die("before", NEW_ENABLED)
        await desk.observe([local])
        self._under_way.pop(changes.REPORT_SOCIAL, None)

    async def _work(self, name: str, method: str) -> bool:
        self._under_way[method] = name
        self._local.note("calls", name)
        self.die("before", name)
        was_already = name in self._local.noted("effects")
        if not was_already:
            self._local.note("effects", name)
        self.die("after", name)
        return was_already

    def _end(self, card: values_pb2.CardReference) -> None:
        """The local system's own row of the old card, which its adapter then reads."""
        told = change_pb2.ReportSocialChangeRequest.FromString(self._local.rows()[card.number])
        told.state = values_pb2.SOCIAL_STATE_SUPERSEDED
        told.local_status.code = "9"
        self._local.put(told)

    def _local_of(self, event: bytes) -> LocalCard | LocalAccount:
        machine = change_pb2.CARD_MACHINE_FINANCIAL if self._is_bank else change_pb2.CARD_MACHINE_SOCIAL
        return local_view(changes.event_class(machine).FromString(event))


class DyingAdapter:
    """The process as a test has it: started again whenever it dies by itself."""

    def __init__(self, directory: Path, configuration: dict[str, Any]) -> None:
        """`configuration` is what `main` reads, without its files, which are made in the directory."""
        participant = configuration["participant"]
        files = {name: str(directory / f"{participant}.{name}") for name in ("store", "store_key", "local")}
        self.participant = participant
        self.store_file = Path(files["store"])
        self.local = LocalSystem(Path(files["local"]))
        self.death_count = 0
        self._environment = {**os.environ, "DYING_ADAPTER": json.dumps(configuration | files)}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Alive, or about to be again; whatever else ends it fails the test at the end."""
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        if keeping.done() and not keeping.cancelled() and (error := keeping.exception()) is not None:
            raise error

    async def _keep(self) -> None:
        while True:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.support.dying_card_adapter", env=self._environment, cwd=_REPOSITORY
            )
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
            assert code == -signal.SIGKILL, f"the adapter of {self.participant} ended with {code}"
            self.death_count += 1


async def main() -> None:
    """Run until killed."""
    configuration = json.loads(os.environ["DYING_ADAPTER"])
    participant, store = configuration["participant"], Path(configuration["store"])
    engine, is_bank = native_engine(), participant.startswith("bank-")
    office = DyingOffice(
        LocalSystem(Path(configuration["local"])),
        point=configuration["point"],
        names=frozenset(configuration["names"]),
        is_bank=is_bank,
        new=configuration["new"],
    )
    office.watch()
    exchange = Exchange(
        Connection(
            participant=participant,
            network=configuration["network"],
            gateways=(configuration["gateway"],),
            hub_keys={configuration["hub_key_id"]: bytes.fromhex(configuration["hub_key"])},
            credentials=CertificateFiles(*map(Path, configuration["tls"])).channel_credentials(),
        ),
        Signatures(
            signer=EngineSigner(engine, f"{participant}-1", bytes.fromhex(configuration["private_key"])), engine=engine
        ),
        store_file=store,
        sealer=load_sealer(Path(configuration["store_key"]), store),
    )
    desk = ExchangeCardDesk(exchange)
    register_cards(exchange, desk, office, is_bank=is_bank)
    async with exchange:
        await exchange.wait_ready()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(office.poll(desk))
            tasks.create_task(_fail(exchange))


async def _fail(exchange: Exchange) -> None:
    raise await exchange.wait_failed()


if __name__ == "__main__":
    asyncio.run(main())
