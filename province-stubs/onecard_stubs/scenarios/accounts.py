"""Whether nothing was lost and nothing doubled: every adapter's outbox, the hub's journal and the inboxes compared.

The hub tells by `onecard message audit`; of an adapter's store only ids and delivery numbers are read.
"""

import asyncio
import dataclasses
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onecard_stubs.dev.processes import run_program
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.scenarios.control import now_ms

_SETTLED_SECONDS = 60
_POLL_SECONDS = 0.3
_HUB_TIME_BEHIND_MS = 60_000
"""A message bears its adapter's hub time, which is behind this clock by the way of a tick; never by this much."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The comparison. Messages are named `sender:id`, deliveries `recipient/partition/number`."""

    sent: tuple[str, ...]
    """What the adapters' outboxes hold, replies included."""
    journaled: tuple[str, ...]
    rejected: tuple[str, ...]
    unknown: tuple[str, ...]
    """Requests without a final outcome."""
    lost: tuple[str, ...]
    """Sent and not in the journal, in the journal and not decided, decided and in no inbox, in an inbox and not
    received."""
    doubled: tuple[str, ...]
    """Delivered under two numbers, or answered twice."""
    stories: tuple[dict[str, Any], ...] = dataclasses.field(default=(), repr=False)
    """The story of each request and event, as `onecard message trace --json` tells it."""


def method_of(story: Mapping[str, Any]) -> str:
    """The method of a story, without its service."""
    return str(story["method"].rpartition("/")[2])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Where accounts begin: what journal and outboxes held then. The time of a message does not tell old from new,
    since every adapter's clock is its own."""

    since_ms: int
    known: frozenset[str] = frozenset()
    """Messages, as `sender:id`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message of an adapter's outbox."""

    name: str
    is_refused: bool
    """It was refused before it was journaled, or never sent in time: its sender knows."""


async def run_json(*arguments: str) -> Any:
    """The JSON that a command of the program prints; raises RuntimeError with its errors if it prints none."""
    code, output, errors = await run_program(*arguments)
    try:
        return json.loads(output)
    except ValueError:
        command = " ".join(arguments)
        raise RuntimeError(f"onecard {command} ended with {code}: {errors.decode()[-2000:]}") from None


async def mark(country: RunningCountry) -> Mark:
    """What stands now is before the accounts that are taken from this mark."""
    since_ms = now_ms()
    sent, _ = await asyncio.to_thread(_read_stores, country.adapter_stores)
    # Reads stand in no outbox.
    audit = await run_json("message", "audit", "--json", "--config", str(country.hub_config))
    return Mark(since_ms=since_ms, known=frozenset({*(message.name for message in sent), *_journaled(audit)}))


async def take_accounts(country: RunningCountry, since: Mark, *, with_stories: bool = True) -> Accounts:
    """Compare what was created since a mark; waits a moment for what is still under way.

    Stories cost several looks into the log for each message: after a load of hundreds do without.
    """
    oldest_ms = max(0, since.since_ms - _HUB_TIME_BEHIND_MS)
    stories = ["--stories", "--since-ms", str(oldest_ms)] if with_stories else []
    deadline = asyncio.get_running_loop().time() + _SETTLED_SECONDS
    while True:
        # The hub first: what the stores then lack of it is under way or lost.
        audit = await run_json("message", "audit", *stories, "--json", "--config", str(country.hub_config))
        sent, received = await asyncio.to_thread(_read_stores, country.adapter_stores)
        accounts = compare(sent, received, audit, since)
        is_settled = not (accounts.lost or accounts.unknown)
        if is_settled or asyncio.get_running_loop().time() > deadline:
            return accounts
        await asyncio.sleep(_POLL_SECONDS)


def compare(sent: Sequence[Sent], received: dict[str, int], audit: dict[str, Any], since: Mark) -> Accounts:
    """The comparison as a pure function: outbox rows, highest received number by inbox partition, the hub's audit."""

    def is_new(name: str) -> bool:
        return name not in since.known

    journaled = _journaled(audit)
    in_journal = set(journaled)
    sent_new = [message for message in sent if is_new(message.name)]
    not_received = [
        f"{place}/{number}"
        for place, last in audit["last_numbers"].items()
        if place.partition("/")[0] in {key.partition("/")[0] for key in received}
        for number in range(received.get(place, 0) + 1, last + 1)
    ]
    lost = [
        *(message.name for message in sent_new if message.name not in in_journal and not message.is_refused),
        *(name for name in audit["undecided"] if is_new(name)),
        *audit["missing_numbers"],
        *not_received,
    ]
    doubled = {name for name in (*audit["delivered_twice"], *audit["answered_twice"]) if is_new(name)}
    return Accounts(
        sent=tuple(message.name for message in sent_new),
        journaled=tuple(name for name in journaled if is_new(name)),
        rejected=(
            *(name for name in audit["rejected"] if is_new(name)),
            *(message.name for message in sent_new if message.name not in in_journal and message.is_refused),
        ),
        unknown=tuple(name for name in audit["without_outcome"] if is_new(name)),
        lost=tuple(lost),
        doubled=tuple(sorted(doubled)),
        stories=tuple(story for story in audit["stories"] if is_new(f"{story['sender']}:{story['id']}")),
    )


def _journaled(audit: dict[str, Any]) -> list[str]:
    return [f"{message['sender']}:{message['id']}" for message in audit["messages"]]


def _read_stores(stores: dict[str, Path]) -> tuple[list[Sent], dict[str, int]]:
    """The outboxes' messages, and the highest number received by `recipient/partition`."""
    sent: list[Sent] = []
    received: dict[str, int] = {}
    for participant, file in stores.items():
        with tempfile.TemporaryDirectory(prefix="onecard-") as place:
            copy = _copy(file, Path(place))
            connection = sqlite3.connect(copy)
            try:
                rows = connection.execute("SELECT id, reason FROM outbox")
                sent += [Sent(name=f"{participant}:{row[0].hex()}", is_refused=row[1] != 0) for row in rows]
                # A recipient that has received nothing is one of those who are asked all the same.
                received[f"{participant}/"] = 0
                for partition, number in connection.execute("SELECT partition, number FROM delivered"):
                    received[f"{participant}/{partition}"] = number
            finally:
                connection.close()
    return sent, received


def _copy(file: Path, directory: Path) -> Path:
    """A copy of a store and its write-ahead log: the adapter holds the store for itself. Whole once the adapter rests,
    which is when accounts are taken; a copy of a store in motion shows something missing, and is taken again."""
    for name in (file.name, f"{file.name}-wal"):
        source = file.with_name(name)
        if source.exists():
            shutil.copyfile(source, directory / name)
    return directory / file.name
