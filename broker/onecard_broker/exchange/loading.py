"""What a batch needs of the database, one statement a table, but for what the worker lately read or wrote itself.

Knows which rows the records of a batch need; how rows are asked for is the store's business.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from onecard_broker.domain import conversation
from onecard_broker.domain.model import AggregateKey, Inbound, KnownMessage, MessageKey, Needs, Origin
from onecard_broker.exchange.batch import Batch
from onecard_broker.exchange.inbounds import Entry
from onecard_broker.exchange.recent import KnownKey, Recent
from onecard_broker.records import exchange_store as store
from onecard_broker.records.pool import Connection
from onecard_broker.records.state_tables import StateKey, StateTables
from onecard_protocol.methods import MethodRegistry

log = logging.getLogger(__name__)


class Unproved(Exception):
    """A message that was assumed to be new gets no row that would prove it."""


class Loading:
    """Fills batches before they are decided."""

    def __init__(self, *, log_epoch: str, methods: MethodRegistry, states: StateTables) -> None:
        self._log_epoch = log_epoch
        self._methods = methods
        self._states = states
        self.recent = Recent()
        """What need not be read again."""

    def keep(self, batch: Batch) -> None:
        """Remember what a batch wrote, once it is committed."""
        self.recent.keep_known(batch.known)
        self._keep_states(batch.aggregates)

    def _keep_states(self, states: Mapping[StateKey, Any]) -> None:
        self.recent.keep_states({key: data for key, data in states.items() if self._states.has_one_writer(key[1])})

    async def load(self, connection: Connection, batch: Batch, entries: Sequence[Entry], *, may_assume: bool) -> None:
        """Load what the entries need. Where it `may_assume`, nothing is asked of messages that seem new."""
        known_wanted: set[tuple[int, MessageKey]] = set()
        aggregates_wanted: set[tuple[int, AggregateKey]] = set()
        timers_wanted: set[tuple[int, bytes]] = set()
        named: set[KnownKey] = set()
        for entry in entries:
            partition = entry.record.partition
            if entry.timer_id is not None:
                timers_wanted.add((partition, entry.timer_id))
            elif entry.inbound is not None:
                needs = self._needs(entry)
                known_wanted.update((partition, key) for key in needs.known)
                own = _own_key(entry.inbound)
                named.update((partition, key) for key in needs.known if key != own)
                if may_assume and own and self.recent.seems_new((partition, own)):
                    batch.assumed_new.add((partition, own))
                aggregates_wanted.update((partition, key) for key in needs.aggregates)
        for (partition, timer_id), timer in (await store.load_timers(connection, timers_wanted)).items():
            batch.overlay(partition).timers[timer_id] = timer
            known_wanted.add((partition, timer.request))
            named.add((partition, timer.request))
        batch.assumed_new -= named  # Another record's decision may rest on it.
        for (partition, key), known in (await self._load_known(connection, known_wanted - batch.assumed_new)).items():
            batch.overlay(partition).known[key] = known
        answers_wanted: set[MessageKey] = set()
        for entry in entries:
            inbound = self.complete(batch, entry)
            if inbound is not None:
                more = conversation.needs_after(inbound, batch.overlay(inbound.partition).known)
                aggregates_wanted.update((inbound.partition, key) for key in more.aggregates)
                answers_wanted.update(more.answers)
        for (partition, aggregate), data in (await self._load_states(connection, aggregates_wanted)).items():
            if data is not None:
                overlay = batch.overlay(partition)
                overlay.aggregates[aggregate] = overlay.stored[aggregate] = data
        for partition, aggregate in aggregates_wanted:
            batch.overlay(partition).loaded_aggregates.add(aggregate)
        answers = await store.load_messages(connection, answers_wanted)
        for overlay in batch.overlays.values():
            overlay.answers.update(answers)

    async def _load_known(self, connection: Connection, wanted: Set[KnownKey]) -> dict[KnownKey, KnownMessage]:
        had = self.recent.known(wanted)
        loaded = await store.load_known(connection, wanted - had.keys())
        self.recent.keep_known(loaded)
        return had | loaded

    async def _load_states(self, connection: Connection, wanted: Set[StateKey]) -> dict[StateKey, Any]:
        had = self.recent.states(wanted)
        missing = wanted - had.keys()
        loaded = await self._states.load(connection, missing)
        self._keep_states({key: loaded.get(key) for key in missing})
        return had | loaded

    def _needs(self, entry: Entry) -> Needs:
        assert entry.inbound is not None
        if entry.held_because:
            own = _own_key(entry.inbound)
            return Needs(known=frozenset({own} if own else ()))
        try:
            return conversation.needs(entry.inbound)
        except Exception as error:  # Whatever a record does to the rules, it is held, not fatal.
            log.exception("record %d/%d cannot be understood", entry.record.partition, entry.record.position)
            entry.held_because = type(error).__name__
            return Needs()

    def complete(self, batch: Batch, entry: Entry) -> Inbound | None:
        """The inbound with what only loading tells: a timer's row, and the person of an answer."""
        overlay = batch.overlay(entry.record.partition)
        if entry.held_because:
            return None
        if entry.timer_id is not None:
            timer = overlay.timers.get(entry.timer_id)
            if timer is None:
                return None
            request = overlay.known.get(timer.request)
            return Inbound(
                origin=Origin.TIMER,
                log_epoch=self._log_epoch,
                partition=entry.record.partition,
                position=entry.record.position,
                subject="" if request is None else request.subject,
                method=self._methods.get(timer.method if request is None else request.method),
                timer=timer,
            )
        inbound = entry.inbound
        if inbound is not None and not inbound.subject and inbound.message is not None:
            reference = inbound.message.header.reply_to
            request = overlay.known.get((reference.sender, reference.id))
            if request is not None and request.subject:
                inbound = entry.inbound = dataclasses.replace(inbound, subject=request.subject)
        return inbound


def _own_key(inbound: Inbound) -> MessageKey | None:
    """The key of a message that comes, for all one can tell, for the first time."""
    if inbound.origin is not Origin.MESSAGE or inbound.is_replay or inbound.message is None:
        return None
    return inbound.message.key


def check_proof(batch: Batch, left: Iterable[Entry]) -> None:
    """Raise Unproved unless each message that was assumed to be new gets its first row, or is left to be decided."""
    unproved = batch.assumed_new - batch.known.keys()
    if unproved:
        inbounds = ((entry.record.partition, entry.inbound) for entry in left)
        unproved -= {(part, key) for part, inbound in inbounds if inbound and (key := _own_key(inbound))}
    if unproved:
        raise Unproved
