"""The directory from the database through the log to those who follow it, faults included."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest

from onecard.exchange.v1 import control_pb2
from onecard_broker.directory.follower import DirectoryFollower
from onecard_broker.directory.publication import ControlTicker
from onecard_broker.directory.signing import sign_control
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.exchange.control_history import ControlHistory
from onecard_broker.journal import CONTROL_TOPIC, control_record, topics
from onecard_broker.log.embedded import EmbeddedLog
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner
from tests.support.clocks import Clocks
from tests.support.directories import NETWORK, new_signer, numbered, put_key, put_participant, revoke_key
from tests.support.gateway import eventually

pytest_plugins = ("tests.support.engines",)


class Control:
    """A log with its store and its ticker, and clocks that a test moves."""

    def __init__(self, log: EmbeddedLog, database: LiveConnection) -> None:
        self.log = log
        self.database = database
        self.store = DirectoryStore(database)
        self.hub = new_signer("hub-1")
        self.clocks = Clocks()
        self.ticker = ControlTicker(log, self.store, clock_ms=now_ms)
        self.followers: list[DirectoryFollower] = []

    async def change(self, *records: control_pb2.ControlRecord, signer: EngineSigner | None = None) -> None:
        version = (await self.store.load()).version
        await self.store.append(
            numbered(*records, first=version + 1), signer or self.hub, network=NETWORK, now_ms=now_ms()
        )

    async def follower(self) -> DirectoryFollower:
        follower = DirectoryFollower(
            self.log,
            self.store,
            network=NETWORK,
            hub_keys={"hub-1": self.hub.public_key},
            verifier=BlockVerifier(native_engine()),
            clock_ms=self.clocks.wall_ms,
            monotonic=self.clocks.monotonic,
        )
        self.followers.append(follower)
        await follower.start()
        return follower

    def worker_history(self) -> ControlHistory:
        return ControlHistory(
            self.log,
            self.store,
            network=NETWORK,
            hub_keys={"hub-1": self.hub.public_key},
            verifier=BlockVerifier(native_engine()),
        )


@pytest.fixture
async def control(postgres_dsn: str) -> AsyncIterator[Control]:
    log = await EmbeddedLog.open(postgres_dsn, partition_count=2)
    await log.ensure_topics(topics(2))
    database = LiveConnection(postgres_dsn, application_name="test")
    running = Control(log, database)
    try:
        yield running
    finally:
        for follower in running.followers:
            await follower.stop()
        await database.close()
        await log.close()


async def test_a_change_reaches_who_follows_and_who_comes_later(control: Control) -> None:
    await control.change(put_participant("cn-44"))
    early = await control.follower()
    await control.change(put_participant("cn-51"))
    await control.ticker.publish_and_tick()
    late = await control.follower()

    await eventually(lambda: early.directory.version == 2)
    assert late.directory == early.directory
    assert set(late.directory.participants) == {"cn-44", "cn-51"}


async def test_records_published_twice_after_a_crash_change_nothing(control: Control) -> None:
    follower = await control.follower()
    await control.change(put_participant("cn-44"), put_participant("cn-51"))
    await control.ticker.publish_and_tick()
    # The crash: appended, but the note of it was lost.
    connection = await control.database.get()
    await connection.execute("DELETE FROM control_publication")
    await control.change(put_participant("cn-33"))
    await control.ticker.publish_and_tick()

    await eventually(lambda: follower.directory.version == 3)
    assert set(follower.directory.participants) == {"cn-33", "cn-44", "cn-51"}


async def test_freshness_ends_without_ticks_and_comes_back_with_them_whatever_the_wall_clock_says(
    control: Control,
) -> None:
    follower = await control.follower()
    assert not follower.is_fresh

    await control.ticker.publish_and_tick()
    await eventually(lambda: follower.is_fresh)
    control.clocks.set_back(3_600)
    control.clocks.pass_time(limits.CONTROL_STALE_MS / 1000)
    assert follower.is_fresh
    control.clocks.pass_time(0.001)
    assert not follower.is_fresh

    await control.ticker.publish_and_tick()
    await eventually(lambda: follower.is_fresh)


async def test_a_record_that_the_hub_did_not_sign_stops_the_following(control: Control) -> None:
    follower = await control.follower()
    await control.ticker.publish_and_tick()
    await eventually(lambda: follower.is_fresh)
    forged = sign_control(numbered(put_participant("cn-44"))[0], new_signer("hub-1"), network=NETWORK, now_ms=now_ms())

    await control.log.append([control_record(forged, 1, topic=CONTROL_TOPIC, partition=0, time_ms=now_ms())])
    await control.ticker.publish_and_tick()

    await eventually(lambda: follower.has_stopped)
    assert follower.directory.version == 0
    assert not follower.is_fresh


async def test_a_genuine_signature_beside_another_content_stops_the_following(control: Control) -> None:
    follower = await control.follower()
    genuine = sign_control(numbered(put_participant("cn-44"))[0], control.hub, network=NETWORK, now_ms=now_ms())
    other = numbered(put_participant("cn-51"))[0].SerializeToString(deterministic=True)

    await control.log.append(
        [
            control_record(
                dataclasses.replace(genuine, payload=other), 1, topic=CONTROL_TOPIC, partition=0, time_ms=now_ms()
            )
        ]
    )

    await eventually(lambda: follower.has_stopped)
    assert follower.directory.version == 0


async def test_a_worker_follows_the_hubs_records_and_no_further_than_one_that_the_hub_did_not_sign(
    control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    history = control.worker_history()
    history.start()
    await control.change(put_participant("cn-44"))
    await control.ticker.publish_and_tick()
    assert set((await history.directory_at(1)).participants) == {"cn-44"}
    forged = numbered(put_participant("cn-51"), first=2)[0]
    forged_message = sign_control(forged, new_signer("hub-1"), network=NETWORK, now_ms=now_ms())

    (appended,) = await control.log.append(
        [control_record(forged_message, 2, topic=CONTROL_TOPIC, partition=0, time_ms=now_ms())]
    )

    with pytest.raises(OneCardError) as raised:
        await history.directory_at(2)
    assert reason_name(raised.value.reason) == "SIGNATURE_INVALID"
    assert history.newest_number == 1
    assert f"control record 2, at {CONTROL_TOPIC} {appended.position}," in caplog.text
    await control.change(put_participant("cn-33"))
    await control.ticker.publish_and_tick()
    with pytest.raises(OneCardError):
        await history.directory_at(2)
    await history.stop()


async def test_a_number_far_ahead_takes_no_other_records_place(control: Control) -> None:
    history = control.worker_history()
    history.start()
    far = sign_control(numbered(put_participant("cn-51"), first=9)[0], control.hub, network=NETWORK, now_ms=now_ms())

    await control.log.append([control_record(far, 9, topic=CONTROL_TOPIC, partition=0, time_ms=now_ms())])
    await control.change(put_participant("cn-44"))
    await control.ticker.publish_and_tick()

    assert set((await history.directory_at(1)).participants) == {"cn-44"}
    assert history.newest_number == 1
    await history.stop()


async def test_a_worker_reads_no_stored_record_that_the_hub_did_not_sign(control: Control) -> None:
    await control.change(put_participant("cn-44"), signer=new_signer("hub-1"))
    history = control.worker_history()
    history.start()

    with pytest.raises(OneCardError) as raised:
        await history.directory_at(1)

    assert reason_name(raised.value.reason) == "SIGNATURE_INVALID"
    await history.stop()


@pytest.mark.parametrize(
    ("network", "key_id", "reason"), [("test-other", "hub-1", "WRONG_NETWORK"), (NETWORK, "nobody", "KEY_UNKNOWN")]
)
async def test_a_store_with_a_foreign_record_is_refused_at_the_start(
    control: Control, network: str, key_id: str, reason: str
) -> None:
    await control.store.append(
        numbered(put_participant("cn-44")),
        control.hub if key_id == "hub-1" else new_signer(key_id),
        network=network,
        now_ms=now_ms(),
    )

    with pytest.raises(OneCardError) as raised:
        await control.follower()

    assert reason_name(raised.value.reason) == reason


async def test_the_hubs_next_key_is_trusted_from_the_directory_on_and_a_revoked_one_no_more(control: Control) -> None:
    following = new_signer("hub-2")
    await control.change(put_participant("cn-00", ()), put_key("cn-00", control.hub), put_key("cn-00", following))
    await control.change(revoke_key("hub-1", now_ms()), signer=following)
    follower = await control.follower()
    assert follower.directory.version == 4

    await control.change(put_participant("cn-44"), signer=control.hub)
    with pytest.raises(OneCardError, match="hub-1"):
        await control.follower()


async def test_what_a_follower_missed_it_reads_from_the_store_when_a_tick_tells(control: Control) -> None:
    follower = await control.follower()
    await control.change(put_participant("cn-44"))
    await control.store.set_published_number(control.log.epoch, 1)

    await control.ticker.publish_and_tick()

    await eventually(lambda: follower.directory.version == 1)
