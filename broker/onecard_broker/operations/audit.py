"""Whether everything is accounted for: journal, decisions and inboxes compared, message by message.

Reads the whole journal and all inboxes once: for a drill or a laptop. In production a range of days is the business of
the evidence.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any, Final

from onecard.exchange.v1 import message_pb2
from onecard_broker.domain.model import KnownState
from onecard_broker.journal import DELIVERY_TYPE, JOURNAL_TOPIC, MESSAGE_TYPE, NUMBER, inbox_topic
from onecard_broker.log.cloud_events import decode
from onecard_broker.operations.log_window import LogWindow
from onecard_broker.records.exchange_store import IS_DELIVERED
from onecard_broker.records.pool import Connection
from onecard_protocol.identifiers import id_text

_PASSED_ON: Final = frozenset({message_pb2.MESSAGE_KIND_REQUEST, message_pb2.MESSAGE_KIND_EVENT})
_FINAL: Final = frozenset({message_pb2.MESSAGE_KIND_REPLY, message_pb2.MESSAGE_KIND_REJECTION})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JournaledMessage:
    """A message of the journal."""

    sender: str
    id: str
    kind: str
    method: str
    copies: int
    """How often it stands in the journal; a repeat is decided once."""
    state: str
    """What the exchange knows of it; empty where it is not decided yet."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was found. Messages are named `sender:id`."""

    messages: tuple[JournaledMessage, ...]
    undecided: tuple[str, ...]
    """In the journal, and no decision about it."""
    without_outcome: tuple[str, ...]
    """Requests that are decided and have no final answer yet: open, unknown, reversing, held."""
    rejected: tuple[str, ...]
    """Requests whose outcome is a rejection."""
    delivered_twice: tuple[str, ...]
    """Requests and events that a recipient got under more than one number."""
    answered_twice: tuple[str, ...]
    """Requests with more than one final answer."""
    missing_numbers: tuple[str, ...]
    """Delivery numbers that are decided and stand in no inbox, as `recipient/partition/number`."""
    last_numbers: dict[str, int]
    """Highest delivery number by `recipient/partition`."""


async def audit(connection: Connection, window: LogWindow) -> Audit:
    """Compare journal, rows and inboxes."""
    states = await _states(connection)
    copies: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], tuple[str, str]] = {}
    async for record in window.topic(JOURNAL_TOPIC):
        event = decode(record)
        if event.type == MESSAGE_TYPE:
            header = message_pb2.MessageHeader.FromString(event.header)
            key = header.sender, id_text(header.id)
            copies[key] += 1
            first.setdefault(key, (_kind_name(header.kind), header.method))
    outputs = await _outputs(connection)
    deliveries: Counter[tuple[str, str]] = Counter()
    answers: dict[str, set[tuple[str, str]]] = {}
    rejected: set[str] = set()
    last_numbers: dict[str, int] = {}
    decided_numbers: set[tuple[str, int, int]] = set()
    for recipient, partition, number, sender, message_id, header, answered in outputs:
        decided_numbers.add((recipient, partition, number))
        place = f"{recipient}/{partition}"
        last_numbers[place] = max(number, last_numbers.get(place, 0))
        kind = message_pb2.MessageHeader.FromString(header).kind
        if kind in _PASSED_ON:
            deliveries[f"{sender}:{id_text(message_id)}", recipient] += 1
        elif kind in _FINAL and answered:
            answers.setdefault(answered, set()).add((sender, id_text(message_id)))
            if kind == message_pb2.MESSAGE_KIND_REJECTION:
                rejected.add(answered)
    published, cut_off = await _published(window, {recipient for recipient, _, _ in decided_numbers})
    gaps = {
        (recipient, partition, number)
        for place, last in last_numbers.items()
        for recipient, _, partition_text in [place.partition("/")]
        for partition in [int(partition_text)]
        for number in range(cut_off.get((recipient, partition), 0) + 1, last + 1)
        if (recipient, partition, number) not in published
    }
    messages = tuple(
        JournaledMessage(
            sender=sender,
            id=key_id,
            kind=kind,
            method=method,
            copies=copies[sender, key_id],
            state=states.get((sender, key_id), ""),
        )
        for (sender, key_id), (kind, method) in sorted(first.items(), key=lambda item: item[0][1])
    )
    return Audit(
        messages=messages,
        undecided=tuple(_name(message) for message in messages if not message.state),
        without_outcome=tuple(
            _name(message)
            for message in messages
            if message.kind == "request" and message.state not in {"", KnownState.DECIDED, KnownState.CLOSED}
        ),
        rejected=tuple(sorted(rejected)),
        delivered_twice=tuple(sorted({name for (name, _), count in deliveries.items() if count > 1})),
        answered_twice=tuple(sorted(name for name, found in answers.items() if len(found) > 1)),
        missing_numbers=tuple(f"{recipient}/{partition}/{number}" for recipient, partition, number in sorted(gaps)),
        last_numbers=dict(sorted(last_numbers.items())),
    )


def _name(message: JournaledMessage) -> str:
    return f"{message.sender}:{message.id}"


def _kind_name(kind: int) -> str:
    return message_pb2.MessageKind.Name(kind).removeprefix("MESSAGE_KIND_").lower()


async def _states(connection: Connection) -> dict[tuple[str, str], str]:
    # What was forwarded is decided in another partition; the last row counts.
    cursor = await connection.execute(
        "SELECT sender, id, state FROM known_messages ORDER BY state = %b DESC", (KnownState.FORWARDED,), binary=True
    )
    return {(row[0], id_text(row[1])): row[2] for row in await cursor.fetchall()}


async def _outputs(connection: Connection) -> list[Any]:
    cursor = await connection.execute(
        f"SELECT recipient, partition, number, sender, id, header, answers FROM outputs WHERE {IS_DELIVERED}"
        " ORDER BY recipient, partition, number",
        binary=True,
    )
    return await cursor.fetchall()


async def _published(
    window: LogWindow, recipients: set[str]
) -> tuple[set[tuple[str, int, int]], dict[tuple[str, int], int]]:
    """What stands in the inboxes, and where retention took their beginning the highest number that may be gone."""
    found: set[tuple[str, int, int]] = set()
    cut_off: dict[tuple[str, int], int] = {}
    for recipient in sorted(recipients):
        topic = inbox_topic(recipient)
        for partition, (start, end) in (await window.bounds(topic)).items():
            # Each number stands at least once and in order, so no higher one than this was ever in front of the start.
            if start:
                cut_off[recipient, partition] = end
        async for record in window.topic(topic):
            event = decode(record)
            if event.type == DELIVERY_TYPE:
                number = event.extensions[NUMBER]
                found.add((recipient, record.partition, int(number)))
                place = recipient, record.partition
                if place in cut_off:
                    cut_off[place] = min(cut_off[place], int(number) - 1)
    return found, cut_off
