"""The durable outbox: our own messages, from the moment their headers are fixed until nothing more is owed for them.

Functions of a connection, to be run by `Store`. A message is QUEUED for the submission pump, CALLED while a call
holds it, ACCEPTED once the hub's receipt is known and an answer is owed, ENDED when it is over.
"""

from __future__ import annotations

import dataclasses
import enum
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from onecard.exchange.v1 import message_pb2
from onecard_adapters.runtime.sealing import Sealer
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import message_time_ms
from onecard_protocol.messages import Message, trusted_message
from onecard_protocol.value_class import value_class

KEPT_MS: Final = limits.MESSAGE_AGE_MS_MAX + 24 * 3_600_000
"""Nothing older than a message may be is asked for, sent again or replayed; one day more for clocks and slow hands."""
REFUSED_KEPT_MS: Final = 90 * 24 * 3_600_000
"""How much longer than others a refused event is kept."""
_ANSWER_KINDS: Final = frozenset({message_pb2.MESSAGE_KIND_REPLY, message_pb2.MESSAGE_KIND_REJECTION})
_PAYLOAD = b"outbox.payload"
_ANSWER = b"answers.payload"


class OutboxState(enum.IntEnum):
    """What is owed for a message."""

    QUEUED = 0
    """It waits for the submission pump, which sends it until it is accepted."""
    CALLED = 1
    """A call holds it, or held it when the process died: it may have been sent."""
    ACCEPTED = 2
    """It is in the journal, and its answer is awaited."""
    ENDED = 3
    """Answered, refused for good, or accepted where no answer is owed."""


@value_class(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message of ours before its signature."""

    id: bytes
    recipient: str
    method: str
    kind: message_pb2.MessageKind
    header: bytes
    payload: bytes = dataclasses.field(repr=False)
    subject: bytes
    """Lookup key of the person, or of nothing: messages of one subject leave in order."""
    execute_before_ms: int | None = None

    @property
    def is_request(self) -> bool:
        """Whether an answer is owed to us."""
        return self.kind == message_pb2.MESSAGE_KIND_REQUEST

    @property
    def is_answer(self) -> bool:
        """Whether it answers a request."""
        return self.kind in _ANSWER_KINDS


@value_class(frozen=True, slots=True, kw_only=True)
class StoredOutgoing:
    """A row of the outbox; the payload is gone once nothing is owed for a request."""

    outgoing: Outgoing
    state: OutboxState
    reason: int
    """ErrorReason for which it ended without an answer; 0 if none."""
    detail: str
    """What exactly, beside the reason's text."""
    attempts: int
    answer: Message | None


# The condition of the index `outbox_open`: without its very words SQLite reads every message that was ever sent.
_OPEN = "state < 3"
_COLUMNS = "id, recipient, method, kind, header, payload, subject, execute_before_ms"
_STORED_COLUMNS = f"{_COLUMNS}, state, reason, detail, attempts"


def insert(
    connection: sqlite3.Connection,
    sealer: Sealer,
    outgoing: Outgoing,
    state: OutboxState,
    *,
    next_attempt_ms: int = 0,
) -> None:
    """Fix a message in the outbox. Raises sqlite3.IntegrityError if the id is there."""
    connection.execute(
        f"INSERT INTO outbox ({_COLUMNS}, created_ms, state, next_attempt_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            outgoing.id,
            outgoing.recipient,
            outgoing.method,
            int(outgoing.kind),
            outgoing.header,
            sealer.seal(_PAYLOAD, outgoing.payload),
            outgoing.subject,
            outgoing.execute_before_ms,
            message_time_ms(outgoing.id),
            int(state),
            next_attempt_ms,
        ),
    )


def find(connection: sqlite3.Connection, sealer: Sealer, message_id: bytes) -> StoredOutgoing | None:
    """The row of a message with its stored answer."""
    row = connection.execute(f"SELECT {_STORED_COLUMNS} FROM outbox WHERE id = ?", (message_id,)).fetchone()
    return None if row is None else _stored(connection, sealer, row)


def queued(connection: sqlite3.Connection, sealer: Sealer, held: frozenset[bytes], limit: int) -> list[Outgoing]:
    """The first queued messages in their order, without those that the pump holds already."""
    # All have next_attempt_ms 0: it stands there because the index has it first, which gives the order without a sort.
    cursor = connection.execute(
        f"SELECT {_COLUMNS} FROM outbox WHERE {_OPEN} AND state = ? ORDER BY next_attempt_ms, sequence LIMIT ?",
        (int(OutboxState.QUEUED), limit + len(held)),
    )
    return [_outgoing(sealer, row) for row in cursor if row[0] not in held][:limit]


def queue_again(connection: sqlite3.Connection, sealer: Sealer, message_id: bytes) -> Outgoing | None:
    """Queue a message that was ended or called, to be sent under its fixed header; None if it is not kept."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM outbox WHERE id = ? AND payload IS NOT NULL", (message_id,)
    ).fetchone()
    if row is None:
        return None
    connection.execute(
        "UPDATE outbox SET state = ?, next_attempt_ms = 0 WHERE id = ?", (int(OutboxState.QUEUED), message_id)
    )
    return _outgoing(sealer, row)


def call_again(connection: sqlite3.Connection, sealer: Sealer, outgoing: Outgoing, *, ask_ms: int) -> None:
    """A call holds a message again that ended because it was refused before it was journaled."""
    connection.execute(
        "UPDATE outbox SET state = ?, reason = 0, payload = ?, next_attempt_ms = ? WHERE id = ?",
        (int(OutboxState.CALLED), sealer.seal(_PAYLOAD, outgoing.payload), ask_ms, outgoing.id),
    )


def queue_interrupted(connection: sqlite3.Connection) -> int:
    """After a start: what a call held and what may be sent at any time is queued; returns how many."""
    # A release before this one left the time of the next question in such rows.
    connection.execute(
        f"UPDATE outbox SET next_attempt_ms = 0 WHERE {_OPEN} AND state = ? AND next_attempt_ms > 0",
        (int(OutboxState.QUEUED),),
    )
    return connection.execute(
        f"UPDATE outbox SET state = ?, next_attempt_ms = 0 WHERE {_OPEN} AND state = ? AND execute_before_ms IS NULL",
        (int(OutboxState.QUEUED), int(OutboxState.CALLED)),
    ).rowcount


def accept(connection: sqlite3.Connection, message_ids: Sequence[bytes], *, ask_ms: int) -> None:
    """The hub has them: requests await their answer, everything else is over. An ended one stays ended."""
    connection.executemany(
        "UPDATE outbox SET state = CASE kind WHEN ? THEN ? ELSE ? END, next_attempt_ms = ? WHERE id = ? AND state < ?",
        [
            (
                int(message_pb2.MESSAGE_KIND_REQUEST),
                int(OutboxState.ACCEPTED),
                int(OutboxState.ENDED),
                ask_ms,
                message_id,
                int(OutboxState.ENDED),
            )
            for message_id in message_ids
        ],
    )


def end(connection: sqlite3.Connection, message_id: bytes, error: OneCardError | None = None) -> None:
    """Nothing more is owed, or nothing can be had for that reason; requests let go of their payload."""
    connection.execute(
        "UPDATE outbox SET state = ?, reason = ?, detail = ?, payload = CASE kind WHEN ? THEN NULL ELSE payload END "
        "WHERE id = ? AND state < ?",
        (
            int(OutboxState.ENDED),
            *_why(error),
            int(message_pb2.MESSAGE_KIND_REQUEST),
            message_id,
            int(OutboxState.ENDED),
        ),
    )


def fixed(connection: sqlite3.Connection, message_id: bytes) -> tuple[bytes, str, str] | None:
    """Header bytes, recipient and method of a message that the outbox knows."""
    row: tuple[bytes, str, str] | None = connection.execute(
        "SELECT header, recipient, method FROM outbox WHERE id = ?", (message_id,)
    ).fetchone()
    return row


def answer(connection: sqlite3.Connection, sealer: Sealer, request_id: bytes, message: Message) -> bool:
    """Keep the answer of a request that the outbox holds; False if it holds none, or it had its answer."""
    if connection.execute("SELECT 1 FROM outbox WHERE id = ?", (request_id,)).fetchone() is None:
        return False
    inserted = connection.execute(
        "INSERT INTO answers (request_id, header, payload, signature) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (request_id, message.header_bytes, sealer.seal(_ANSWER, message.payload), message.signature),
    ).rowcount
    end(connection, request_id)
    return inserted == 1


def to_ask_about(connection: sqlite3.Connection, sealer: Sealer, now_ms: int, limit: int) -> list[StoredOutgoing]:
    """Requests whose answer is overdue and whose next question is due."""
    # One question a state: the index gives the order within a state, and nothing is sorted.
    rows = [
        row
        for state in (OutboxState.CALLED, OutboxState.ACCEPTED)
        for row in connection.execute(
            f"SELECT next_attempt_ms, {_STORED_COLUMNS} FROM outbox "
            f"WHERE {_OPEN} AND state = ? AND next_attempt_ms <= ? ORDER BY next_attempt_ms LIMIT ?",
            (int(state), now_ms, limit),
        )
    ]
    rows.sort(key=lambda row: row[0])
    return [_stored(connection, sealer, row[1:]) for row in rows[:limit]]


def ask_again(connection: sqlite3.Connection, message_id: bytes, next_attempt_ms: int) -> None:
    """The question stays open until then; of what was queued again meanwhile nothing is asked."""
    connection.execute(
        "UPDATE outbox SET attempts = attempts + 1, next_attempt_ms = ? WHERE id = ? AND state != ?",
        (next_attempt_ms, message_id, int(OutboxState.QUEUED)),
    )


def refuse_event(connection: sqlite3.Connection, message_id: bytes, error: OneCardError) -> None:
    """An event of ours was refused after it had been accepted: a person must see to it."""
    connection.execute(
        "UPDATE outbox SET state = ?, reason = ?, detail = ? WHERE id = ?",
        (int(OutboxState.ENDED), *_why(error), message_id),
    )


def forgive_event(connection: sqlite3.Connection, message_id: bytes) -> None:
    """What a refused event of ours was to tell was told otherwise: no person must see to it."""
    connection.execute("UPDATE outbox SET reason = 0, detail = '' WHERE id = ?", (message_id,))


def refused_events(connection: sqlite3.Connection) -> dict[tuple[str, int], int]:
    """How many events of ours were refused, before they were journaled or after, by (method, ErrorReason)."""
    rows = connection.execute(
        "SELECT method, reason, count(*) FROM outbox WHERE state = ? AND kind = ? AND reason != 0 GROUP BY 1, 2",
        (int(OutboxState.ENDED), int(message_pb2.MESSAGE_KIND_EVENT)),
    )
    return {(method, reason): count for method, reason, count in rows}


def list_refused_events(connection: sqlite3.Connection, sealer: Sealer) -> list[StoredOutgoing]:
    """The events of ours that were refused, in the order in which they were made."""
    rows = connection.execute(
        f"SELECT {_STORED_COLUMNS} FROM outbox WHERE state = ? AND kind = ? AND reason != 0 ORDER BY sequence",
        (int(OutboxState.ENDED), int(message_pb2.MESSAGE_KIND_EVENT)),
    ).fetchall()
    return [_stored(connection, sealer, row) for row in rows]


def forget_before(connection: sqlite3.Connection, created_ms: int) -> int:
    """Delete what is over and older, refused events only once they are much older; returns how many messages."""
    parameters = {
        "ended": int(OutboxState.ENDED),
        "event": int(message_pb2.MESSAGE_KIND_EVENT),
        "created": created_ms,
        "refused": created_ms - REFUSED_KEPT_MS,
    }
    old = "state = :ended AND created_ms < CASE WHEN kind = :event AND reason != 0 THEN :refused ELSE :created END"
    connection.execute(f"DELETE FROM answers WHERE request_id IN (SELECT id FROM outbox WHERE {old})", parameters)
    return connection.execute(f"DELETE FROM outbox WHERE {old}", parameters).rowcount


def _why(error: OneCardError | None) -> tuple[int, str]:
    return (0, "") if error is None else (error.reason, "; ".join(error.particulars))


def _outgoing(sealer: Sealer, row: Sequence[Any]) -> Outgoing:
    message_id, recipient, method, kind, header, payload, subject, execute_before_ms = row[:8]
    return Outgoing(
        id=message_id,
        recipient=recipient,
        method=method,
        kind=kind,
        header=header,
        payload=b"" if payload is None else sealer.open(_PAYLOAD, payload),
        subject=subject,
        execute_before_ms=execute_before_ms,
    )


def _stored(connection: sqlite3.Connection, sealer: Sealer, row: Sequence[Any]) -> StoredOutgoing:
    found = connection.execute(
        "SELECT header, payload, signature FROM answers WHERE request_id = ?", (row[0],)
    ).fetchone()
    return StoredOutgoing(
        outgoing=_outgoing(sealer, row),
        state=OutboxState(row[8]),
        reason=row[9],
        detail=row[10],
        attempts=row[11],
        answer=None if found is None else trusted_message(found[0], sealer.open(_ANSWER, found[1]), found[2]),
    )
