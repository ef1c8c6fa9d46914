"""The exchange worker process: owns partitions by leases, reads them, decides, publishes.

Knows when to do what; what a record means is decided in `decider`, what time appends to the journal is `upkeep`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

import psycopg

from onecard_broker.directory.publication import ControlTicker
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.domain.card_state import HOLDER_PREFIX
from onecard_broker.exchange.batch import OwnedPartition
from onecard_broker.exchange.control_history import ControlHistory
from onecard_broker.exchange.decider import Decider
from onecard_broker.exchange.leases import LeaseKeeper
from onecard_broker.exchange.publisher import HubTick, Publisher
from onecard_broker.exchange.upkeep import CONTROL_LEASE, Upkeep
from onecard_broker.journal import JOURNAL_TOPIC
from onecard_broker.log.port import Log, LoggedRecord, LogUnavailable, Reader
from onecard_broker.records import exchange_store as store
from onecard_broker.records import parking
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.pool import Connection, connect
from onecard_broker.records.state_tables import StateTables
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import HUB
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.signer import Signer

log = logging.getLogger(__name__)

READ_WAIT_MS: Final = 200
_BROKEN: Final = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.IdleInTransactionSessionTimeout)
"""How a connection fails; the last where this process hung within a transaction."""
RETRY_SECONDS: Final = 0.5
REPUBLISH_COUNT: Final = 500
HUB_TICK_SECONDS: Final = 0.25


def lease_names(partition_count: int) -> list[str]:
    """The leases that workers share: one for each partition, and the one for the control topic's ticks."""
    return [f"partition-{partition:04d}" for partition in range(partition_count)] + [CONTROL_LEASE]


class ExchangeWorker:
    """One worker. Any number of them share the partitions of a journal."""

    def __init__(
        self,
        *,
        journal: Log,
        dsn: str,
        owner: str,
        network: str,
        methods: MethodRegistry,
        signer: Signer,
        verifier: BlockVerifier,
    ) -> None:
        """`owner` is unique to the process; `signer` signs what the hub itself says, and its key is trusted first."""
        self._log = journal
        self._dsn = dsn
        self._owner = owner
        self._leases = LeaseKeeper(dsn, owner=owner, names=lease_names(journal.partition_count))
        self._database = LiveConnection(dsn, application_name="onecard directory")
        directory = DirectoryStore(self._database)
        self._history = ControlHistory(
            journal, directory, network=network, hub_keys={signer.key_id: signer.public_key}, verifier=verifier
        )
        self._states = StateTables({HOLDER_PREFIX: CardRegistry()})
        self._decider = Decider(
            network=network,
            log_epoch=journal.epoch,
            partition_count=journal.partition_count,
            methods=methods,
            signer=signer,
            states=self._states,
            check_control=self._history.check,
        )
        self._publisher = Publisher(journal)
        self._partitions: dict[int, OwnedPartition] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._hub_ticked: dict[int, float] = {}
        self._upkeep = Upkeep(
            journal=journal,
            dsn=dsn,
            leases=self._leases,
            history=self._history,
            ticker=ControlTicker(journal, directory, clock_ms=now_ms),
            partitions=self._partitions,
        )
        self._connection: Connection | None = None
        self._reader: Reader | None = None
        self._stopping = False

    async def run(self) -> None:
        """Work until `stop`; the database or the log going away is waited for, with nothing lost."""
        self._history.start()
        self._publisher.start()
        self._upkeep.start()
        await self._retrying(self._leases.start)
        try:
            while not self._stopping:
                await self._retrying(self._work)
        finally:
            await self._upkeep.stop()
            await self._close()
            await self._publisher.stop()
            await self._leases.stop()
            await self._history.stop()
            await self._database.close()

    def stop(self) -> None:
        """Finish the batch in hand and stop."""
        self._stopping = True

    @property
    def owned_count(self) -> int:
        """Partitions owned and being worked on."""
        return len(self._partitions)

    def has_reached(self, ends: Mapping[int, int]) -> bool:
        """Whether the partitions are owned here and decided up to these positions, with what was let go before them."""
        return all(
            partition in self._partitions
            and self._partitions[partition].position >= end
            and not self._partitions[partition].let_go
            for partition, end in ends.items()
        )

    def has_applied(self, control_number: int) -> bool:
        """Whether the control record of a number is in force in all partitions that are owned here."""
        return bool(self._partitions) and all(
            owned.control_number >= control_number and not owned.let_go for owned in self._partitions.values()
        )

    async def published(self) -> None:
        """Wait until everything decided so far stands in the inboxes."""
        await self._publisher.drained()

    async def _retrying(self, step: Callable[[], Awaitable[None]]) -> None:
        while not self._stopping:
            try:
                await step()
                return
            except store.OwnershipLost as error:
                log.warning("%s: %s", self._owner, error)
                await self._leases.drop()
            except (*_BROKEN, LogUnavailable) as error:
                log.warning("%s waits for database or log: %s", self._owner, type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
            await self._close()

    async def _work(self) -> None:
        """Own what the leases say, until they change."""
        self._leases.changed.clear()
        await self._take_partitions()
        if not self._partitions:
            await self._wait_for_leases()
            return
        assert self._reader is not None
        reading = asyncio.create_task(self._read())
        try:
            while not self._stopping and not self._leases.changed.is_set():
                records = await reading
                reading = asyncio.create_task(self._read())
                await self._process(records)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await self._give_up_partitions()

    async def _read(self) -> list[LoggedRecord]:
        assert self._reader is not None
        return await self._reader.read(limits.WORKER_BATCH_COUNT_MAX, limits.WORKER_BATCH_BYTES_MAX, READ_WAIT_MS)

    async def _process(self, records: list[LoggedRecord]) -> None:
        if not records:
            return
        assert self._connection is not None
        self._decider.recent.forget_in_time(now_ms())
        published = self._publisher.take_published()
        try:
            outputs = await self._decider.process(self._connection, records, self._partitions, self._numbers, published)
        except BaseException:
            self._publisher.give_back(published)
            raise
        self._upkeep.saw(records)
        await self._publisher.put([*outputs, *self._hub_ticks({record.partition for record in records})])

    def _hub_ticks(self, partitions: Iterable[int]) -> list[HubTick]:
        """Ticks of the hub's inbox for the partitions that had none for a while."""
        now = time.monotonic()
        due = [part for part in partitions if now - self._hub_ticked.get(part, 0.0) >= HUB_TICK_SECONDS]
        self._hub_ticked.update(dict.fromkeys(due, now))
        return [
            HubTick(partition=part, now_ms=self._partitions[part].now_ms, number=self._numbers.get((HUB, part), 0))
            for part in due
        ]

    async def _wait_for_leases(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._leases.changed.wait(), timeout=limits.LEASE_RENEW_MS / 1000)

    async def _take_partitions(self) -> None:
        """Load where the owned partitions stand, publish what was decided but not published, and open the reader."""
        owned = sorted(int(name.rpartition("-")[2]) for name in self._leases.owned if name != CONTROL_LEASE)
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._dsn, application_name=f"onecard worker {self._owner}", looks_up=True)
        await self._states.prepare(self._connection, owned)
        rows = await store.load_partitions(self._connection, owned, self._log.epoch)
        self._decider.recent.begin(now_ms())
        for row in rows.values():
            self._log.check_epoch(row.log_epoch)
        blocked = await parking.load_blocked(self._connection, owned)
        numbers = await store.load_numbers(self._connection, owned)
        partitions = {
            partition: OwnedPartition(
                partition=partition,
                log_epoch=row.log_epoch,
                position=row.position,
                now_ms=row.now_ms,
                control_number=row.control_number,
                directory=await self._history.directory_at(row.control_number),
                blockers=blocked[partition].blockers,
                let_go=blocked[partition].let_go,
            )
            for partition, row in sorted(rows.items())
        }
        self._numbers.clear()
        self._numbers.update({key: last for key, (last, _) in numbers.items()})
        for (recipient, partition), (last, done) in sorted(numbers.items()):
            await self._republish(recipient, partition, done, last)
        self._partitions.clear()
        self._partitions.update(partitions)
        if partitions:
            positions = {partition: row.position for partition, row in rows.items()}
            self._reader = self._log.open_reader(JOURNAL_TOPIC, positions)

    async def _republish(self, recipient: str, partition: int, done: int, last: int) -> None:
        assert self._connection is not None
        while done < last:
            outputs = await store.read_outputs(self._connection, recipient, partition, done + 1, last, REPUBLISH_COUNT)
            if not outputs:
                return
            await self._publisher.put(outputs)
            done = outputs[-1].number

    async def _give_up_partitions(self) -> None:
        self._partitions.clear()
        if self._reader is not None:
            await self._reader.close()
            self._reader = None
        if self._connection is not None and not self._connection.closed:
            published = self._publisher.take_published()
            try:
                await store.save_published(self._connection, published)
            except psycopg.Error:
                self._publisher.give_back(published)

    async def _close(self) -> None:
        if self._reader is not None:
            await self._reader.close()
            self._reader = None
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
