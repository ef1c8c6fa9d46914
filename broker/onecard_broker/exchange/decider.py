"""Decides batches of journal records and writes each in one transaction (design.md, ideas 3 and 4).

Load what the batch needs with one statement a table, decide record by record with pure functions, write states,
outputs, timers and positions together. A record that cannot be decided, or that PostgreSQL refuses, is held and stops
nobody but its own subject (rule 14).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import psycopg

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard_broker.directory.model import Directory, KeyStatus
from onecard_broker.domain import conversation
from onecard_broker.domain.model import (
    Effect,
    Inbound,
    KnownMessage,
    KnownState,
    MessageKey,
    Origin,
)
from onecard_broker.exchange import holding
from onecard_broker.exchange.batch import Batch, OwnedPartition
from onecard_broker.exchange.inbounds import Entry, read_entry, unread
from onecard_broker.exchange.loading import Loading, Unproved, check_proof
from onecard_broker.exchange.recent import Recent
from onecard_broker.journal import JOURNAL_TOPIC, answers_text
from onecard_broker.log.port import LoggedRecord
from onecard_broker.records import exchange_store as store
from onecard_broker.records import parking
from onecard_broker.records.parking import Parked
from onecard_broker.records.pool import Connection, one_trip
from onecard_broker.records.state_tables import StateTables
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import Message
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.signer import Signer

log = logging.getLogger(__name__)

_REFUSED: Final = (Unproved, psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
"""What is wrong with the records themselves; the last, a value that no row or index takes, counts as operational."""


class Decider:
    """Turns journal records into rows and outputs. One task uses it at a time."""

    def __init__(
        self,
        *,
        network: str,
        log_epoch: str,
        partition_count: int,
        methods: MethodRegistry,
        signer: Signer,
        states: StateTables,
        check_control: Callable[[Message, Directory], None],
    ) -> None:
        """`signer` signs what the hub itself says.

        `check_control` raises OneCardError unless the hub signed the control record that follows a directory.
        """
        self._network = network
        self._log_epoch = log_epoch
        self._partition_count = partition_count
        self._methods = methods
        self._signer = signer
        self._states = states
        self._loading = Loading(log_epoch=log_epoch, methods=methods, states=states)
        self._check_control = check_control

    @property
    def recent(self) -> Recent:
        """What it need not read again: it must begin anew whenever partitions are taken."""
        return self._loading.recent

    async def process(
        self,
        connection: Connection,
        records: Sequence[LoggedRecord],
        partitions: dict[int, OwnedPartition],
        numbers: dict[tuple[str, int], int],
        published: dict[tuple[str, int], int],
    ) -> list[store.Output]:
        """Decide the records and commit; updates `partitions` and last `numbers`, returns the outputs to publish.

        Raises OwnershipLost, and psycopg.OperationalError when the database is away; then nothing was changed. What is
        left in `published` was taken by no commit.
        """
        entries = deque(self._read(record) for record in records)
        return await self._process(connection, entries, partitions, numbers, published, may_assume=True)

    async def _process(
        self,
        connection: Connection,
        entries: deque[Entry],
        partitions: dict[int, OwnedPartition],
        numbers: dict[tuple[str, int], int],
        published: dict[tuple[str, int], int],
        *,
        may_assume: bool,
    ) -> list[store.Output]:
        outputs: list[store.Output] = []
        while True:
            await self._load_let_go(connection, partitions, entries)
            if not entries:
                return outputs
            await self._load_dispositions(connection, partitions, entries)
            undone = list(entries)
            batch = Batch(partitions, network=self._network, partition_count=self._partition_count)
            for owned in batch.owned.values():
                owned.let_go = frozenset()  # They stand in front.
            try:
                await self._loading.load(connection, batch, entries, may_assume=may_assume)
                self._decide(batch, entries)
                check_proof(batch, entries)
                outputs += await self._commit(connection, batch, partitions, numbers, published)
            except _REFUSED as error:
                # What another owner has written meanwhile is refused too: its delivery numbers are ours.
                await store.check_owned(connection, {part: owned.position for part, owned in partitions.items()})
                originals = [entry for entry in undone if not entry.is_disposed]
                for owned in partitions.values():
                    owned.let_go = frozenset()  # They are among the originals.
                if batch.assumed_new:
                    log.info("one of %d records may be a repeat: what is known of all is asked for", len(originals))
                    may_assume = False
                    entries = deque(self._again(entry.record, entry.parked) for entry in originals)
                    continue
                log.warning("the database refused %d records (%s): bisecting", len(originals), type(error).__name__)
                if len(originals) == 1:
                    (offender,) = originals
                    if offender.held_because or offender.control is not None:
                        raise
                    offender.held_because = type(error).__name__
                    entries = deque([offender])
                else:
                    half = len(originals) // 2
                    for part in (originals[:half], originals[half:]):
                        again = deque(self._again(entry.record, entry.parked) for entry in part)
                        outputs += await self._process(
                            connection, again, partitions, numbers, published, may_assume=False
                        )
                    return outputs

    def _read(self, record: LoggedRecord) -> Entry:
        try:
            return read_entry(record, log_epoch=self._log_epoch, methods=self._methods)
        except Exception as error:  # Whatever a record does to the parser, it is held, not fatal.
            log.exception("journal record %d/%d cannot be read", record.partition, record.position)
            return unread(record, type(error).__name__, log_epoch=self._log_epoch)

    def _again(self, record: LoggedRecord, parked: Parked | None) -> Entry:
        entry = self._read(record)
        entry.parked = parked
        if parked is not None and entry.inbound is not None:
            entry.inbound = dataclasses.replace(entry.inbound, is_replay=True)
        return entry

    async def _load_let_go(
        self, connection: Connection, partitions: Mapping[int, OwnedPartition], entries: deque[Entry]
    ) -> None:
        """Put those that wait for nothing any more in front, in position order."""
        for partition, owned in partitions.items():
            if owned.let_go:
                waiting = await parking.load_waiting(connection, JOURNAL_TOPIC, partition, owned.let_go)
                places = {(partition, parked.record.position) for parked in waiting}
                rest = [entry for entry in entries if (entry.record.partition, entry.record.position) not in places]
                entries.clear()
                entries.extend(self._again(parked.record, parked) for parked in waiting)
                entries.extend(rest)

    async def _load_dispositions(
        self, connection: Connection, partitions: Mapping[int, OwnedPartition], entries: deque[Entry]
    ) -> None:
        """Put the parked record behind the control record that decides about it."""
        for index, entry in enumerate(entries):
            if entry.control is not None and entry.control.HasField("dispose_message") and not entry.has_dispositions:
                if index:
                    return  # What stands before it must be written first: it may add to those that wait.
                owned = partitions.get(entry.record.partition)
                disposed = None
                if owned is not None and self._comes_into_force(owned, entry):
                    disposed = await self._disposed(connection, entry.control.dispose_message, entry)
                if disposed is not None:
                    entries.insert(1, disposed)
                entry.has_dispositions = True
                return

    async def _disposed(
        self, connection: Connection, disposition: control_pb2.MessageDisposition, entry: Entry
    ) -> Entry | None:
        if disposition.partition != entry.record.partition:
            return None
        parked = await parking.load_offender(
            connection, JOURNAL_TOPIC, disposition.partition, disposition.sender, disposition.id
        )
        if parked is None:
            return None
        again = self._again(parked.record, parked)
        if again.inbound is not None and parked.is_dead_letter:
            # Decided in the control record's place: what the hub says of it gets ids of its own.
            again.inbound = dataclasses.replace(
                again.inbound,
                origin=Origin.DISPOSITION,
                position=entry.record.position,
                subject=parked.subject,
                disposition=disposition.disposition,
                is_replay=False,
            )
        elif disposition.disposition != control_pb2.DISPOSITION_REPLAY:
            again.disposition = disposition.disposition
        return again

    # ---- deciding --------------------------------------------------------------------------------------------------

    def _decide(self, batch: Batch, entries: deque[Entry]) -> None:
        """Decide from the left, until done or until a record needs what only the next part of the batch can load."""
        while entries:
            if not self._is_ready(batch, entries[0]):
                return
            entry = entries.popleft()
            now_ms = batch.take(entry, limits.GATEWAY_CLOCK_SKEW_MS_MAX)
            partition = entry.record.partition
            if entry.control is not None:
                self._apply_control(batch, entry)
                continue
            inbound = self._loading.complete(batch, entry)
            if entry.timer_id is not None:
                entry.timer = batch.overlay(partition).timers.get(entry.timer_id)
                batch.spend_timer(partition, entry.timer_id)
            if entry.disposition:
                self._dispose(batch, entry, now_ms)
            elif entry.held_because:
                holding.hold(batch, entry, now_ms)
            elif inbound is not None:
                self._decide_one(batch, entry, inbound, now_ms)

    def _is_ready(self, batch: Batch, entry: Entry) -> bool:
        if not batch.record_count:
            return True  # The first record of a part has everything loaded.
        if batch.has_let_go and not entry.is_disposed:
            return False  # Those that were let go come before it.
        inbound = self._loading.complete(batch, entry)
        if inbound is None:
            return entry.control is None or not entry.control.HasField("dispose_message") or entry.has_dispositions
        overlay = batch.overlay(inbound.partition)
        more = conversation.needs_after(inbound, overlay.known)
        if not overlay.loaded_aggregates.issuperset(more.aggregates):
            loaded_or_new = overlay.loaded_aggregates | overlay.aggregates.keys()
            if not loaded_or_new.issuperset(more.aggregates):
                return False
        return all(key in overlay.answers and key not in overlay.unsigned for key in more.answers)

    def _decide_one(self, batch: Batch, entry: Entry, inbound: Inbound, now_ms: int) -> None:
        owned = batch.owned[inbound.partition]
        if inbound.subject in owned.blockers and inbound.origin is Origin.MESSAGE and self._waits(batch, inbound):
            holding.wait(batch, entry, inbound, now_ms)
            return
        try:
            overlay = batch.overlay(inbound.partition)
            revoked = self._revocation(inbound, owned.directory, entry.claimed_ms, overlay.known)
            if revoked:
                effects: list[Effect] = holding.final_refusal(inbound, revoked, now_ms)
            else:
                effects = conversation.decide(overlay.state(owned.directory.feeds), inbound, now_ms)
            batch.apply(inbound, entry.record, effects, now_ms)
        except Exception as error:  # A rule that fails is a fault of ours; the record waits for an operator.
            log.exception("record %d/%d cannot be decided", inbound.partition, inbound.position)
            if entry.parked is not None and entry.parked.is_dead_letter:
                batch.park(entry.parked)  # It stays a dead letter.
                return
            entry.held_because = type(error).__name__
            holding.hold(batch, entry, now_ms)

    def _dispose(self, batch: Batch, entry: Entry, now_ms: int) -> None:
        """What an operator decided about a held record, where that is not to decide it again."""
        if entry.disposition == control_pb2.DISPOSITION_RELEASE:
            # Parked under its own key from here on: it holds nobody up and can still be replayed or discarded.
            holding.park(batch, entry, answers_text(holding.key_of(entry)), "released", is_offender=True)
        elif entry.inbound is not None and entry.inbound.message is not None:
            final = holding.final_refusal(entry.inbound, errors_pb2.ERROR_REASON_DISCARDED, now_ms)
            batch.apply(entry.inbound, entry.record, final, now_ms)

    def _waits(self, batch: Batch, inbound: Inbound) -> bool:
        """Behind a held record everything waits; behind dead letters what the rules say."""
        blockers = batch.owned[inbound.partition].blockers[inbound.subject]
        stuck = [blocker.dead_letter_of for blocker in blockers if blocker.dead_letter_of is not None]
        return len(stuck) < len(blockers) or conversation.waits(inbound, batch.overlay(inbound.partition).known, stuck)

    def _revocation(
        self, inbound: Inbound, directory: Directory, admitted_ms: int, known: Mapping[MessageKey, KnownMessage]
    ) -> int:
        """KEY_REVOKED if the message's key was revoked by the directory in force here (rule 15); 0 otherwise.

        A repeat of what was decided before is told what was decided.
        """
        if inbound.origin is not Origin.MESSAGE or inbound.message is None or not directory.revocations:
            return 0
        first = known.get(inbound.message.key)
        if first is not None and first.state is not KnownState.HELD:
            return 0
        key_id = message_pb2.SignatureBlock.FromString(inbound.message.signature).key_id
        status = directory.key_status(key_id, admitted_ms)
        return errors_pb2.ERROR_REASON_KEY_REVOKED if status is KeyStatus.REVOKED else 0

    # ---- control -----------------------------------------------------------------------------------------------------

    def _apply_control(self, batch: Batch, entry: Entry) -> None:
        owned = batch.owned[entry.record.partition]
        assert entry.control is not None
        if self._comes_into_force(owned, entry):
            owned.directory = owned.directory.apply(entry.control)
            owned.control_number = entry.control.number

    def _comes_into_force(self, owned: OwnedPartition, entry: Entry) -> bool:
        """Whether it is the partition's next control record; one that the hub did not sign is passed over."""
        assert entry.control is not None
        assert entry.control_message is not None
        if entry.control.number != owned.control_number + 1:
            return False  # A repeated number does nothing.
        try:
            self._check_control(entry.control_message, owned.directory)
        except OneCardError as error:
            log.error(
                "record %d/%d says that it is control record %d, which the hub did not sign; it is passed over: %s",
                entry.record.partition,
                entry.record.position,
                entry.control.number,
                error,
            )
            return False
        return True

    # ---- writing ---------------------------------------------------------------------------------------------------

    async def _commit(
        self,
        connection: Connection,
        batch: Batch,
        partitions: dict[int, OwnedPartition],
        numbers: dict[tuple[str, int], int],
        published: dict[tuple[str, int], int],
    ) -> list[store.Output]:
        reached = dict(numbers)

        def next_number(recipient: str, partition: int) -> int:
            number = reached.get((recipient, partition), 0) + 1
            reached[(recipient, partition)] = number
            return number

        if any(draft.is_own for draft in batch.drafts):
            outputs = await asyncio.to_thread(batch.outputs, self._signer, next_number)
        else:
            outputs = batch.outputs(self._signer, next_number)
        moves = batch.moves()
        async with one_trip(connection, check=lambda: store.check_advanced(advanced, moves)):
            advanced = await store.advance(connection, moves)
            for are_new in (True, False):
                rows = [(key[0], row) for key, row in batch.known.items() if (key in batch.assumed_new) is are_new]
                await store.save_known(connection, rows, are_new=are_new)
            await self._states.save(connection, batch.state_changes())
            await store.save_timers(
                connection,
                [(partition, timer) for (partition, _), timer in batch.timers_set.items()],
                batch.timers_gone,
            )
            await store.save_outputs(connection, outputs)
            await parking.delete_parked(connection, batch.unparked)
            await parking.save_parked(connection, list(batch.parked.values()))
            await store.save_published(connection, published)
        published.clear()
        numbers.update(reached)
        partitions.update(batch.owned)
        self._loading.keep(batch)
        return outputs
