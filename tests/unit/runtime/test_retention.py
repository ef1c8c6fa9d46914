"""What the adapter's store lets go of, and when."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from onecard.exchange.v1 import message_pb2
from onecard_adapters.runtime import inbox, outbox
from onecard_adapters.runtime.outbox import OutboxState, Outgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import new_message_id

SEALER = Sealer(bytes(32))
REQUEST = message_pb2.MESSAGE_KIND_REQUEST
REPLY = message_pb2.MESSAGE_KIND_REPLY


def outgoing(created_ms: int, kind: message_pb2.MessageKind = REQUEST) -> Outgoing:
    return Outgoing(
        id=new_message_id(created_ms),
        recipient="cn-51",
        method="/m",
        kind=kind,
        header=b"header",
        payload=b"payload",
        subject=b"subject",
    )


async def test_only_what_is_over_and_old_is_forgotten(tmp_path: Path) -> None:
    old, open_still, young = outgoing(1_000), outgoing(1_001), outgoing(9_000)

    def work(connection: sqlite3.Connection) -> tuple[int, list[bool]]:
        for item in (old, open_still, young):
            outbox.insert(connection, SEALER, item, OutboxState.CALLED)
        outbox.end(connection, old.id)
        outbox.end(connection, young.id)
        inbox.bury(connection, b"early", 1_000)
        inbox.bury(connection, b"late", 9_000)
        forgotten = outbox.forget_before(connection, 5_000)
        inbox.forget_before(connection, 5_000)
        kept = [outbox.find(connection, SEALER, item.id) is not None for item in (old, open_still, young)]
        return forgotten, [*kept, inbox.is_buried(connection, b"early"), inbox.is_buried(connection, b"late")]

    store = Store(tmp_path / "store.sqlite")
    await store.open()
    assert await store.run(work) == (1, [False, True, True, False, True])
    await store.close()


async def test_a_refused_event_is_counted_and_kept_longer(tmp_path: Path) -> None:
    kind = message_pb2.MESSAGE_KIND_EVENT
    refused, taken = outgoing(1_000, kind), outgoing(1_000, kind)

    def work(connection: sqlite3.Connection) -> list[object]:
        for item in (refused, taken):
            outbox.insert(connection, SEALER, item, OutboxState.QUEUED)
            outbox.accept(connection, [item.id], ask_ms=0)
        outbox.refuse_event(connection, refused.id, OneCardError(225))
        before = outbox.refused_events(connection)
        forgotten = (
            outbox.forget_before(connection, 5_000),
            outbox.forget_before(connection, 5_000 + outbox.REFUSED_KEPT_MS),
        )
        return [before, forgotten, outbox.refused_events(connection)]

    store = Store(tmp_path / "store.sqlite")
    await store.open()
    assert await store.run(work) == [{("/m", 225): 1}, (1, 1), {}]
    await store.close()


async def test_a_request_that_is_over_lets_go_of_its_payload_and_an_answer_keeps_it_for_repeats(tmp_path: Path) -> None:
    request, reply = outgoing(1_000), outgoing(1_000, REPLY)

    def work(connection: sqlite3.Connection) -> list[Outgoing | None]:
        for item in (request, reply):
            outbox.insert(connection, SEALER, item, OutboxState.QUEUED)
            outbox.end(connection, item.id)
        return [outbox.queue_again(connection, SEALER, item.id) for item in (request, reply)]

    store = Store(tmp_path / "store.sqlite")
    await store.open()
    assert await store.run(work) == [None, reply]
    await store.close()


async def test_a_late_acceptance_does_not_open_again_what_has_its_answer(tmp_path: Path) -> None:
    request = outgoing(1_000)

    def work(connection: sqlite3.Connection) -> OutboxState | None:
        outbox.insert(connection, SEALER, request, OutboxState.QUEUED)
        outbox.end(connection, request.id)
        outbox.accept(connection, [request.id], ask_ms=0)
        stored = outbox.find(connection, SEALER, request.id)
        return None if stored is None else stored.state

    store = Store(tmp_path / "store.sqlite")
    await store.open()
    assert await store.run(work) is OutboxState.ENDED
    await store.close()
