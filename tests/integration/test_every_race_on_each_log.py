"""Every interleaving of settlement and cancellation through the real worker: each is another person of one journal."""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg
import pytest

from onecard.medical.v1 import settlement_pb2
from onecard_broker.domain.medical_state import decode_encounter, encounter_key
from onecard_broker.domain.model import MessageKey
from onecard_broker.journal import inbox_topic, message_record, timer_record
from onecard_broker.log.cloud_events import decode
from onecard_broker.log.port import Log, Record
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import Message, trusted_message
from tests.support.domain import CARE, INSURED, Delivery
from tests.support.exchange import Exchange, running_exchange
from tests.support.interleavings import Fire, Race, Scene, Script, short_scripts, wrong_at_the_end
from tests.support.stays import SyntheticStay

pytest_plugins = ("tests.support.engines",)

AHEAD_MS: Final = 600_000
"""Messages are made ahead of the clock, so that none expires while thousands of persons wait for their next step."""


@dataclasses.dataclass(slots=True)
class Person:
    """A script on its way."""

    scene: Scene
    script: Script
    partition: int
    submitted: list[Message]
    received: list[Message]


class Inbox:
    """One participant's inbox, read further and further."""

    def __init__(self, exchange: Exchange, participant: str) -> None:
        self._log = exchange.log
        self._topic = inbox_topic(participant)
        self._participant = participant
        self._next = dict.fromkeys(range(exchange.log.partition_count), 0)
        self._numbers: dict[int, int] = defaultdict(int)

    async def read_on(self) -> list[Delivery]:
        """What came since the last time; every number must be the next one."""
        bounds = await self._log.bounds(self._topic)
        left = sum(end - self._next[partition] for partition, (_, end) in bounds.items())
        reader = self._log.open_reader(self._topic, self._next)
        deliveries: list[Delivery] = []
        try:
            while left > 0:
                for record in await reader.read(2_000, 32 * 1024 * 1024, 1_000):
                    left -= 1
                    event = decode(record)
                    self._numbers[record.partition] += 1
                    assert int(event.extensions["number"]) == self._numbers[record.partition]
                    sender, _, message_id = event.extensions.get("answers", "").partition(":")
                    answers: MessageKey | None = (sender, bytes.fromhex(message_id)) if sender else None
                    message = trusted_message(event.header, event.data, event.signature)
                    deliveries.append(Delivery(self._participant, message, answers))
            self._next = reader.positions()
        finally:
            await reader.close()
        return deliveries


def people(log: Log) -> list[Person]:
    """Each script as another person."""
    scripts = [(race, script) for race in Race for script in short_scripts(race)]
    start_ms = now_ms() + AHEAD_MS
    return [
        Person(
            Scene(
                race,
                SyntheticStay(serial=serial, start_ms=start_ms),
                log_epoch=log.epoch,
                partition=serial % log.partition_count,
            ),
            script,
            serial % log.partition_count,
            [],
            [],
        )
        for serial, (race, script) in enumerate(scripts, 1)
    ]


def requests_of(scene: Scene) -> tuple[Message, ...]:
    """What the insured province may be asked in a script."""
    return scene.original, scene.query, scene.reversal, scene.second


def records_of(person: Person, messages: list[Message]) -> list[Record]:
    """The person's messages as the gateway would journal them."""
    person.submitted += messages
    return [
        message_record(
            message,
            partition=person.partition,
            pseudonym="" if message.header.HasField("reply_to") else person.scene.stay.subject,
            admitted_ms=now_ms(),
            directory_version=0,
        )
        for message in messages
    ]


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_every_interleaving_ends_with_one_outcome_told(
    log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str
) -> None:
    """{request, success, timer, query, reversal, second reversal}, and the same of a cancellation."""
    async with running_exchange(await log_opener(), postgres_dsn) as exchange:
        everybody = people(exchange.log)
        by_original = {person.scene.original.header.id.hex(): person for person in everybody}
        by_request = {request.key: person for person in everybody for request in requests_of(person.scene)}
        insured, care = Inbox(exchange, INSURED), Inbox(exchange, CARE)
        told: list[Delivery] = []

        await exchange.append_records([r for person in everybody for r in records_of(person, person.scene.setting())])
        await exchange.drained()
        for step in itertools.count():
            for delivery in await insured.read_on():
                message = delivery.message
                if message.header.sender == HUB and message.header.kind == 1:
                    query = settlement_pb2.QuerySettlementRequest.FromString(message.payload)
                    by_original[query.original_id].received.append(message)
                elif message.key in by_request:
                    by_request[message.key].received.append(message)
            told += await care.read_on()
            going = [person for person in everybody if step < len(person.script)]
            if not going:
                break
            await exchange.append_records([r for person in going for r in step_records(person, step)])
            await exchange.drained()

        answers: dict[MessageKey, list[Delivery]] = defaultdict(list)
        for delivery in told:
            if delivery.answers is not None:
                answers[delivery.answers].append(delivery)
        wrong = {
            f"{person.scene.race}: {' → '.join(map(str, person.script))}": faults
            for person in everybody
            if (faults := faults_of(person, states(exchange.dsn), answers))
        }
        assert not wrong, f"{len(wrong)} of {len(everybody)}: {next(iter(wrong.items()))}"
        assert len(everybody) > 2_000


def step_records(person: Person, step: int) -> list[Record]:
    """What the person's script does in a step."""
    records: list[Record] = []
    for action in person.scene.actions(person.script[step], person.received):
        if isinstance(action, Fire):
            records.append(timer_record(action.timer_id, partition=person.partition, time_ms=now_ms()))
        else:
            records += records_of(person, [action.message])
    return records


_states: dict[str, dict[tuple[int, str], bytes]] = {}


def states(dsn: str) -> dict[tuple[int, str], bytes]:
    """All business states in the database, read once."""
    if dsn not in _states:
        with psycopg.connect(dsn) as connection:
            rows = connection.execute("SELECT partition, key, data FROM aggregates").fetchall()
        _states[dsn] = {(partition, key): data for partition, key, data in rows}
    return _states[dsn]


def faults_of(
    person: Person, stored: dict[tuple[int, str], bytes], answers: dict[MessageKey, list[Delivery]]
) -> list[str]:
    """What is wrong at the end of a person's script."""
    registration = person.submitted[0]
    encounter = decode_encounter(stored[(person.partition, encounter_key(registration.header.id))])
    deliveries = [delivery for message in person.submitted for delivery in answers.get(message.key, [])]
    return wrong_at_the_end(person.scene, person.submitted, encounter, deliveries)
