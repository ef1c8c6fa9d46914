"""Held calls are completed from the callers' inboxes, and from nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping

import pytest

from onecard.exchange.v1 import message_pb2
from onecard_broker.domain.model import MessageKey
from onecard_broker.gateway import inbox_follower
from onecard_broker.gateway.inbox_follower import InboxFollowers
from onecard_broker.journal import answers_text, delivery_record
from onecard_broker.log.port import LoggedRecord, LogUnavailable
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import build_header, trusted_message

DIGEST = bytes(range(32))


class Inboxes:
    """A log of inboxes in memory, as far as a follower uses one."""

    def __init__(self) -> None:
        self.records: list[LoggedRecord] = []
        self.came = asyncio.Condition()
        self.readers: list[Reader] = []
        self.is_down = False

    async def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        if self.is_down:
            raise LogUnavailable("down")
        return {0: (0, len(self.records))}

    def open_reader(self, topic: str, positions: Mapping[int, int]) -> Reader:
        self.readers.append(Reader(self, positions[0]))
        return self.readers[-1]

    async def put(self, key: MessageKey, digest: bytes = DIGEST, text: bytes = b"answer") -> None:
        """Put an answer into the inbox of cn-44."""
        header = build_header(
            network="test-unit",
            sender="cn-51",
            recipient="cn-44",
            method="/onecard.medical.v1.CoverageService/QueryCoverage",
            kind=message_pb2.MESSAGE_KIND_REPLY,
            message_id=new_message_id(1),
            payload=text,
            reply_to=message_pb2.RequestReference(sender=key[0], id=key[1], digest=digest),
        )
        record = delivery_record(
            trusted_message(header, text, b"s"),
            recipient="cn-44",
            partition=0,
            number=1,
            answers=answers_text(key),
            time_ms=1,
        )
        async with self.came:
            self.records.append(
                LoggedRecord(
                    topic=record.topic,
                    partition=0,
                    position=len(self.records),
                    append_time_ms=1,
                    key=record.key,
                    value=record.value,
                    headers=record.headers,
                )
            )
            self.came.notify_all()


class Reader:
    def __init__(self, inboxes: Inboxes, position: int) -> None:
        self.inboxes = inboxes
        self.position = position
        self.failures = 0
        self.is_closed = False

    async def read(self, max_records: int, max_bytes: int, wait_ms: int) -> list[LoggedRecord]:
        if self.failures:
            self.failures -= 1
            raise LogUnavailable("for a moment")
        async with self.inboxes.came:
            try:
                await asyncio.wait_for(
                    self.inboxes.came.wait_for(lambda: len(self.inboxes.records) > self.position), 0.05
                )
            except TimeoutError:
                return []
        records = self.inboxes.records[self.position :]
        self.position += len(records)
        return records

    def seek(self, partition: int, position: int) -> None:
        self.position = position

    def positions(self) -> dict[int, int]:
        return {0: self.position}

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
async def inboxes() -> Inboxes:
    return Inboxes()


@pytest.fixture
async def followers(inboxes: Inboxes) -> AsyncIterator[InboxFollowers]:
    running = InboxFollowers(inboxes, Counter())  # type: ignore[arg-type]
    yield running
    await running.stop()


def new_key() -> MessageKey:
    return "cn-44", new_message_id(1)


async def test_a_call_gets_the_answer_to_its_own_request(followers: InboxFollowers, inboxes: Inboxes) -> None:
    key, other = new_key(), new_key()
    async with followers.awaiting("cn-44", key, DIGEST) as awaited:
        await inboxes.put(other, text=b"other")
        await inboxes.put(key)
        answer = await awaited.within(20)

    assert answer is not None
    assert answer.payload == b"answer"
    assert followers.held_count == 0


async def test_what_stood_in_the_inbox_before_the_call_answers_nothing(
    followers: InboxFollowers, inboxes: Inboxes
) -> None:
    key = new_key()
    await inboxes.put(key, text=b"earlier")
    async with followers.awaiting("cn-44", key, DIGEST) as awaited:
        await inboxes.put(key, text=b"later")
        answer = await awaited.within(20)

    assert answer is not None
    assert answer.payload == b"later"


async def test_an_answer_to_other_content_of_the_same_id_is_not_taken(
    followers: InboxFollowers, inboxes: Inboxes
) -> None:
    key = new_key()
    async with (
        followers.awaiting("cn-44", key, DIGEST) as awaited,
        followers.awaiting("cn-44", key, bytes(32)) as conflicting,
    ):
        await inboxes.put(key, bytes(32), b"conflict")
        await inboxes.put(key)
        answers = [await awaited.within(20), await conflicting.within(20)]

    assert [answer.payload for answer in answers if answer] == [b"answer", b"conflict"]


async def test_two_copies_of_one_call_both_get_the_one_answer(followers: InboxFollowers, inboxes: Inboxes) -> None:
    key = new_key()
    async with (
        followers.awaiting("cn-44", key, DIGEST) as first,
        followers.awaiting("cn-44", key, DIGEST) as second,
    ):
        await inboxes.put(key)
        answers = [await first.within(20), await second.within(20)]

    assert [answer.payload for answer in answers if answer] == [b"answer", b"answer"]


async def test_a_call_without_answer_ends_with_its_time(followers: InboxFollowers) -> None:
    async with followers.awaiting("cn-44", new_key(), DIGEST) as awaited:
        assert await awaited.within(0.01) is None


async def test_all_calls_of_a_caller_share_one_reader(followers: InboxFollowers, inboxes: Inboxes) -> None:
    keys = [new_key() for _ in range(20)]

    async def call(key: MessageKey) -> bytes | None:
        async with followers.awaiting("cn-44", key, DIGEST) as awaited:
            await inboxes.put(key, text=key[1])
            answer = await awaited.within(20)
        return None if answer is None else answer.payload

    assert await asyncio.gather(*map(call, keys)) == [key[1] for key in keys]
    assert len(inboxes.readers) == 1


async def test_a_log_that_fails_for_a_moment_loses_no_answer(
    followers: InboxFollowers, inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_follower, "_RETRY_SECONDS", 0.0)
    key = new_key()
    async with followers.awaiting("cn-44", key, DIGEST) as awaited:
        inboxes.readers[0].failures = 3
        await inboxes.put(key)
        assert await awaited.within(20)


async def test_a_log_that_is_down_refuses_the_call_and_serves_the_next(
    followers: InboxFollowers, inboxes: Inboxes
) -> None:
    inboxes.is_down = True
    with pytest.raises(OneCardError) as raised:
        async with followers.awaiting("cn-44", new_key(), DIGEST):
            pass
    assert reason_name(raised.value.reason) == "HUB_NOT_READY"
    assert followers.held_count == 0

    inboxes.is_down = False
    key = new_key()
    async with followers.awaiting("cn-44", key, DIGEST) as awaited:
        await inboxes.put(key)
        assert await awaited.within(20)


async def test_a_follower_ends_when_its_caller_has_no_call_and_begins_anew(
    followers: InboxFollowers, inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_follower, "IDLE_SECONDS", 0.0)
    for _ in range(2):
        key = new_key()
        async with followers.awaiting("cn-44", key, DIGEST) as awaited:
            await inboxes.put(key)
            assert await awaited.within(20)
        async with asyncio.timeout(20):
            while not inboxes.readers[-1].is_closed:  # noqa: ASYNC110 - the double tells nobody
                await asyncio.sleep(0.01)

    assert len(inboxes.readers) == 2


async def test_calls_are_bounded_for_each_caller(followers: InboxFollowers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CALLS_HELD_PER_PARTICIPANT_COUNT_MAX", 1)
    async with followers.awaiting("cn-44", new_key(), DIGEST):
        with pytest.raises(OneCardError) as raised:
            async with followers.awaiting("cn-44", new_key(), DIGEST):
                pass
        async with followers.awaiting("cn-33", new_key(), DIGEST):
            assert followers.held_count == 2

    assert reason_name(raised.value.reason) == "QUOTA_EXCEEDED"
    assert await followers.wait_until_none_held(1)


async def test_calls_are_bounded_for_each_recipient_whoever_waits_for_it(
    followers: InboxFollowers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CALLS_HELD_PER_RECIPIENT_COUNT_MAX", 2)
    async with (
        followers.awaiting("cn-44", new_key(), DIGEST, recipient="cn-51"),
        followers.awaiting("cn-33", new_key(), DIGEST, recipient="cn-51"),
    ):
        with pytest.raises(OneCardError, match="cn-51") as raised:
            async with followers.awaiting("cn-32", new_key(), DIGEST, recipient="cn-51"):
                pass
        async with followers.awaiting("cn-32", new_key(), DIGEST, recipient="cn-11"):
            pass
        # The hub itself holds nobody up.
        async with followers.awaiting("cn-32", new_key(), DIGEST), followers.awaiting("cn-31", new_key(), DIGEST):
            assert followers.held_count == 4
    async with followers.awaiting("cn-32", new_key(), DIGEST, recipient="cn-51"):
        pass

    assert reason_name(raised.value.reason) == "QUOTA_EXCEEDED"
