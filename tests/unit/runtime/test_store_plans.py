"""What an adapter asks its store in its daily work costs the same with a million messages as with none."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_adapters.runtime import inbox, outbox
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_adapters.runtime.outbox import OutboxState, Outgoing
from onecard_adapters.runtime.schema import SCHEMA
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import Message, build_header, trusted_message
from tests.unit.runtime.test_memory import make_encounter, make_person

METHOD = "/onecard.medical.v1.SettlementService/Settle"
REQUEST = message_pb2.MESSAGE_KIND_REQUEST

_Result = TypeVar("_Result")


class Noting(sqlite3.Connection):
    """A connection that notes every statement."""

    noted: dict[str, Sequence[Any]]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.noted.setdefault(sql, parameters)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        self.noted.setdefault(sql, parameters[0])
        return super().executemany(sql, parameters)

    def scans(self) -> list[str]:
        """Of the noted statements' plans the steps that read or sort all of a kind, and which statement has it."""
        found = []
        for sql, parameters in self.noted.items():
            plan = super().execute(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
            steps = [step[3] for step in plan]
            found += [f"{step}: {sql}" for step in steps if step.startswith("SCAN")]
            # A page of a backlog must not cost what the whole backlog does.
            found += [f"{step}: {sql}" for step in steps if "TEMP B-TREE" in step and "FROM outbox" in sql]
        return found


class Direct:
    """The store as the memory sees it, on one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, operation: Callable[[sqlite3.Connection], _Result], *, is_brief: bool) -> asyncio.Future[_Result]:
        done: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        done.set_result(operation(self._connection))
        return done

    def read(self, question: Callable[[sqlite3.Connection], _Result]) -> _Result:
        return question(self._connection)


@pytest.fixture
def connection() -> Noting:
    made = sqlite3.connect(":memory:", factory=Noting)
    made.noted = {}
    for statement in SCHEMA:
        made.execute(statement)
    made.noted.clear()
    return made


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(bytes(32))


def outgoing() -> Outgoing:
    message = received()
    return Outgoing(
        id=message.header.id,
        recipient="cn-51",
        method=METHOD,
        kind=REQUEST,
        header=message.header_bytes,
        payload=message.payload,
        subject=b"subject",
    )


def received() -> Message:
    header = build_header(
        network="test",
        sender="cn-44",
        recipient="cn-51",
        method=METHOD,
        kind=REQUEST,
        message_id=new_message_id(1_700_000_000_000),
        payload=b"payload",
    )
    return trusted_message(header, b"payload", b"signature")


def test_the_outbox_never_reads_all_messages(connection: Noting, sealer: Sealer) -> None:
    ours = outgoing()
    outbox.insert(connection, sealer, ours, OutboxState.CALLED)
    outbox.find(connection, sealer, ours.id)
    outbox.fixed(connection, ours.id)
    outbox.queue_interrupted(connection)
    outbox.queued(connection, sealer, frozenset(), 10)
    outbox.queue_again(connection, sealer, ours.id)
    outbox.call_again(connection, sealer, ours, ask_ms=1)
    outbox.to_ask_about(connection, sealer, 2, 10)
    outbox.ask_again(connection, ours.id, 3)
    outbox.accept(connection, [ours.id], ask_ms=1)
    outbox.answer(connection, sealer, ours.id, received())
    outbox.end(connection, ours.id)
    outbox.refuse_event(connection, ours.id, OneCardError(errors_pb2.ERROR_REASON_INTERNAL))

    assert len(connection.noted) >= 14
    assert connection.scans() == []


def test_the_inbox_never_reads_all_messages(connection: Noting, sealer: Sealer) -> None:
    message = received()
    taken = inbox.Received(message=message, log_epoch="epoch", partition=1, number=1)
    inbox.insert(connection, sealer, taken, now_ms=1, keeps_bytes=True)
    inbox.find(connection, *message.key)
    inbox.receive_again(connection, sealer, taken)
    inbox.attempting(connection, message, "local")
    inbox.unfinished(connection, sealer)
    inbox.finish(connection, sealer, message, inbox.InboxState.DONE, answer_id=b"answer", undo=b"undo")
    inbox.undo_of(connection, sealer, *message.key)
    inbox.bury(connection, message.header.id, 1)
    inbox.is_buried(connection, message.header.id)

    assert len(connection.noted) >= 9
    # What is not done yet has an index of its own, which holds nothing else.
    assert [scan.partition(":")[0] for scan in connection.scans()] == ["SCAN inbox USING INDEX inbox_open"]


async def test_the_memory_never_reads_all_it_remembers(connection: Noting, sealer: Sealer) -> None:
    memory = EdgeMemory(cast(Store, Direct(connection)), sealer)
    await memory.remember_person("510100", "number", make_person())
    memory.find_person("510100", "number")
    await memory.remember_encounter("H440", "visit", make_encounter())
    memory.find_encounter("H440", "visit")
    await memory.remember_transaction("H440", "msgid", b"digest", b"message", METHOD, "encounter", {})
    await memory.update_transaction(b"message", {"answer": "{}"})
    memory.find_transactions("H440", "msgid")
    memory.find_transactions_of_encounter("encounter", METHOD)
    await memory.next_number("series", 1)

    assert len(connection.noted) >= 9
    assert connection.scans() == []


def test_what_a_call_held_leaves_in_its_order_after_a_start(connection: Noting, sealer: Sealer) -> None:
    first, second, third = outgoing(), outgoing(), outgoing()
    outbox.insert(connection, sealer, first, OutboxState.CALLED, next_attempt_ms=5)
    outbox.insert(connection, sealer, second, OutboxState.QUEUED)
    outbox.insert(connection, sealer, third, OutboxState.QUEUED)
    # As a release left it that did not forget when it would have asked.
    connection.execute("UPDATE outbox SET next_attempt_ms = 4 WHERE id = ?", (second.id,))

    assert outbox.queue_interrupted(connection) == 1
    outbox.ask_again(connection, second.id, 9)  # A question that was under way when it was queued.

    assert [item.id for item in outbox.queued(connection, sealer, frozenset(), 10)] == [first.id, second.id, third.id]


def test_what_is_overdue_is_asked_about_oldest_first_whatever_its_state(connection: Noting, sealer: Sealer) -> None:
    late, early, accepted = outgoing(), outgoing(), outgoing()
    for item, ask_ms in ((late, 7), (early, 3), (accepted, 5)):
        outbox.insert(connection, sealer, item, OutboxState.CALLED, next_attempt_ms=ask_ms)
    outbox.accept(connection, [accepted.id], ask_ms=5)

    due = outbox.to_ask_about(connection, sealer, 6, 10)

    assert [stored.outgoing.id for stored in due] == [early.id, accepted.id]
    assert [stored.outgoing.id for stored in outbox.to_ask_about(connection, sealer, 9, 2)] == [early.id, accepted.id]
