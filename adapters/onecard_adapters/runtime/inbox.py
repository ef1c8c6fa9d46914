"""The durable inbox: what was received under which number, and how far its processing is.

Functions of a connection, to be run by `Store`. Everything received leaves a row by (sender, id), so that a repeat, a
conflict and one id from two partitions show (rule 1); only requests and events keep their bytes until they are done,
and of what was executed remains the reversal by which it would be undone (rule 12).
"""

from __future__ import annotations

import dataclasses
import enum
import sqlite3
from collections.abc import Mapping

from onecard_adapters.runtime.sealing import Sealer
from onecard_protocol.messages import Message, trusted_message
from onecard_protocol.value_class import value_class

_PAYLOAD = b"inbox.payload"
_UNDO = b"inbox.undo"


class InboxState(enum.IntEnum):
    """How far the processing of a received message is."""

    RECEIVED = 0
    """To be processed."""
    ATTEMPTING = 1
    """The local system may have been called (rule 11)."""
    DONE = 2
    """Answered, or nothing to do."""
    GIVEN_UP = 3
    """Reported by a DeliveryReport; a replay is processed anew."""
    REFUSED = 4
    """It did not pass verification and was never executed."""


@value_class(frozen=True, slots=True, kw_only=True)
class Received:
    """A verified request or event with the place that it was delivered from."""

    message: Message
    log_epoch: str
    partition: int
    number: int
    state: InboxState = InboxState.RECEIVED
    attempts: int = 0
    local_transaction_id: str = ""


@value_class(frozen=True, slots=True, kw_only=True)
class KnownReceived:
    """What the inbox knows of a message that comes again."""

    digest: bytes
    partition: int
    state: InboxState
    answer_id: bytes | None


def find(connection: sqlite3.Connection, sender: str, message_id: bytes) -> KnownReceived | None:
    """What is known of a message; None if it was never received."""
    row = connection.execute(
        "SELECT digest, partition, state, answer_id FROM inbox WHERE sender = ? AND id = ?", (sender, message_id)
    ).fetchone()
    return (
        None
        if row is None
        else KnownReceived(digest=row[0], partition=row[1], state=InboxState(row[2]), answer_id=row[3])
    )


def insert(
    connection: sqlite3.Connection, sealer: Sealer, received: Received, *, now_ms: int, keeps_bytes: bool
) -> None:
    """Keep a message that was not known before."""
    message = received.message
    connection.execute(
        "INSERT INTO inbox (sender, id, digest, log_epoch, partition, number, received_ms, header, payload, signature,"
        " state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.header.sender,
            message.header.id,
            message.digest,
            received.log_epoch,
            received.partition,
            received.number,
            now_ms,
            message.header_bytes if keeps_bytes else None,
            sealer.seal(_PAYLOAD, message.payload) if keeps_bytes else None,
            message.signature if keeps_bytes else None,
            int(received.state),
        ),
    )


def receive_again(connection: sqlite3.Connection, sealer: Sealer, received: Received) -> Received:
    """A message that was given up or refused is to be processed anew; returns it as it stands now."""
    message = received.message
    connection.execute(
        "UPDATE inbox SET digest = ?, log_epoch = ?, partition = ?, number = ?, header = ?, payload = ?, signature = ?,"
        # A call may have been made before it was given up: then only recovery is allowed.
        " state = CASE WHEN local_transaction_id = '' THEN ? ELSE ? END, attempts = 0"
        " WHERE sender = ? AND id = ?",
        (
            message.digest,
            received.log_epoch,
            received.partition,
            received.number,
            message.header_bytes,
            sealer.seal(_PAYLOAD, message.payload),
            message.signature,
            int(InboxState.RECEIVED),
            int(InboxState.ATTEMPTING),
            message.header.sender,
            message.header.id,
        ),
    )
    state, local_transaction_id = connection.execute(
        "SELECT state, local_transaction_id FROM inbox WHERE sender = ? AND id = ?",
        (message.header.sender, message.header.id),
    ).fetchone()
    return dataclasses.replace(received, state=InboxState(state), local_transaction_id=local_transaction_id)


def attempting(connection: sqlite3.Connection, message: Message, local_transaction_id: str) -> None:
    """From here on the local system may have been called."""
    connection.execute(
        "UPDATE inbox SET state = ?, attempts = attempts + 1, local_transaction_id = ? WHERE sender = ? AND id = ?",
        (int(InboxState.ATTEMPTING), local_transaction_id, message.header.sender, message.header.id),
    )


def finish(
    connection: sqlite3.Connection,
    sealer: Sealer,
    message: Message,
    state: InboxState,
    *,
    answer_id: bytes | None,
    undo: bytes | None,
) -> None:
    """Processing is over; the bytes are let go of. `undo` is the payload of what would undo it, if anything may."""
    connection.execute(
        "UPDATE inbox SET state = ?, answer_id = ?, header = NULL, payload = ?, signature = NULL"
        " WHERE sender = ? AND id = ?",
        (
            int(state),
            answer_id,
            None if undo is None else sealer.seal(_UNDO, undo),
            message.header.sender,
            message.header.id,
        ),
    )


def give_up(connection: sqlite3.Connection, sender: str, message_id: bytes) -> None:
    """The answer of a message was refused for good: when an operator replays the message, it is answered anew."""
    connection.execute(
        "UPDATE inbox SET state = ? WHERE sender = ? AND id = ? AND state = ?",
        (int(InboxState.GIVEN_UP), sender, message_id, int(InboxState.DONE)),
    )


def undo_of(connection: sqlite3.Connection, sealer: Sealer, sender: str, message_id: bytes) -> bytes | None:
    """The payload that would undo a message; None if it was not executed, or is not kept any more."""
    row = connection.execute(
        "SELECT payload FROM inbox WHERE sender = ? AND id = ? AND state IN (?, ?) AND payload IS NOT NULL",
        (sender, message_id, int(InboxState.DONE), int(InboxState.GIVEN_UP)),
    ).fetchone()
    return None if row is None else sealer.open(_UNDO, row[0])


def unfinished(connection: sqlite3.Connection, sealer: Sealer) -> list[Received]:
    """Everything to be processed after a start, in order within each partition."""
    rows = connection.execute(
        "SELECT header, payload, signature, log_epoch, partition, number, state, attempts, local_transaction_id"
        " FROM inbox WHERE state < 2 ORDER BY partition, number"
    ).fetchall()
    return [
        Received(
            message=trusted_message(row[0], sealer.open(_PAYLOAD, row[1]), row[2]),
            log_epoch=row[3],
            partition=row[4],
            number=row[5],
            state=InboxState(row[6]),
            attempts=row[7],
            local_transaction_id=row[8],
        )
        for row in rows
    ]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where reception stands: log epoch, opaque cursor, highest number taken by partition."""

    log_epoch: str
    cursor: bytes
    numbers: Mapping[int, int]


def place(connection: sqlite3.Connection) -> Place:
    """Where reception stands; empty on a new store."""
    row = connection.execute("SELECT log_epoch, position FROM cursor").fetchone()
    numbers = dict(connection.execute("SELECT partition, number FROM delivered").fetchall())
    return Place(log_epoch="" if row is None else row[0], cursor=b"" if row is None else row[1], numbers=numbers)


def advance(connection: sqlite3.Connection, log_epoch: str, cursor: bytes | None, numbers: Mapping[int, int]) -> None:
    """Move reception on; without a cursor (outputs that filled a gap) only the numbers."""
    connection.executemany(
        "INSERT INTO delivered (partition, number) VALUES (?, ?)"
        " ON CONFLICT (partition) DO UPDATE SET number = excluded.number",
        list(numbers.items()),
    )
    if cursor is not None:
        connection.execute(
            "INSERT INTO cursor (one, log_epoch, position) VALUES (1, ?, ?)"
            " ON CONFLICT (one) DO UPDATE SET log_epoch = excluded.log_epoch, position = excluded.position",
            (log_epoch, cursor),
        )


def bury(connection: sqlite3.Connection, original_id: bytes, now_ms: int) -> None:
    """Set the tombstone of a request: it will not be executed (rule 12)."""
    connection.execute(
        "INSERT INTO tombstones (original_id, made_ms) VALUES (?, ?) ON CONFLICT DO NOTHING", (original_id, now_ms)
    )


def is_buried(connection: sqlite3.Connection, message_id: bytes) -> bool:
    """Whether a tombstone stands for the message."""
    return connection.execute("SELECT 1 FROM tombstones WHERE original_id = ?", (message_id,)).fetchone() is not None


def forget_before(connection: sqlite3.Connection, received_ms: int) -> int:
    """Delete what is done and older, tombstones included; returns how many messages."""
    connection.execute("DELETE FROM tombstones WHERE made_ms < ?", (received_ms,))
    return connection.execute("DELETE FROM inbox WHERE state >= 2 AND received_ms < ?", (received_ms,)).rowcount
