"""Completes the calls that this gateway holds, by following the inboxes of their callers (rule 17).

One reader for each caller with calls in flight: opened by the first call at the inbox's end, before that call is
journaled, and closed when the caller has had no call for a while. Knows nothing of gRPC.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_broker.domain.model import MessageKey
from onecard_broker.journal import ANSWERS, answers_text, inbox_topic, message_of
from onecard_broker.log.lingering import LingeringReader
from onecard_broker.log.port import Log, LogError, LoggedRecord
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import Message

log = logging.getLogger(__name__)

IDLE_SECONDS: Final = 30.0
_READ_COUNT: Final = 500
_READ_BYTES: Final = 4 * 1_048_576
_READ_WAIT_MS: Final = 1_000
_RETRY_SECONDS: Final = 0.2
_ANSWERS_HEADER: Final = f"ce_{ANSWERS}"


class AwaitedAnswer:
    """A call that is held: resolved by the first message in the caller's inbox that answers it."""

    __slots__ = ("_future", "digest")

    def __init__(self, digest: bytes) -> None:
        """`digest` is the asking message's, so that an answer to another message of the same id is not taken."""
        self.digest = digest
        self._future: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()

    async def within(self, seconds: float) -> Message | None:
        """The answer; None if it does not come in time. Asked once."""
        ending = asyncio.get_running_loop().call_later(max(seconds, 0.0), self.resolve, None)
        try:
            return await self._future
        finally:
            ending.cancel()

    def resolve(self, answer: Message | None) -> None:
        """Give the answer, or None for want of time; a second one changes nothing."""
        if not self._future.done():
            self._future.set_result(answer)


class InboxFollowers:
    """Held calls by caller, bounded in total, for each caller, and for each recipient that they wait for."""

    def __init__(self, inboxes: Log, stats: Counter[str]) -> None:
        """`inboxes` is the log that the inboxes lie on."""
        self._log = inboxes
        self._stats = stats
        self._followers: dict[str, _Follower] = {}
        self._held_by_caller: Counter[str] = Counter()
        self._held_by_recipient: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def held_count(self) -> int:
        """Calls held now."""
        return self._held_by_caller.total()

    @contextlib.asynccontextmanager
    async def awaiting(
        self, caller: str, key: MessageKey, digest: bytes, *, recipient: str | None = None
    ) -> AsyncIterator[AwaitedAnswer]:
        """Hold a call: whatever is journaled inside the block is answered from here on.

        `key` is (sender, id) of a request, or ("question", question id). `recipient` is the province that it waits for;
        None where the hub answers by itself. Raises QUOTA_EXCEEDED or HUB_NOT_READY.
        """
        if (
            self.held_count >= limits.CALLS_HELD_COUNT_MAX
            or self._held_by_caller[caller] >= limits.CALLS_HELD_PER_PARTICIPANT_COUNT_MAX
        ):
            raise OneCardError(
                errors_pb2.ERROR_REASON_QUOTA_EXCEEDED, "too many calls wait for answers", retry_after_ms=limits.TICK_MS
            )
        if recipient and self._held_by_recipient[recipient] >= limits.CALLS_HELD_PER_RECIPIENT_COUNT_MAX:
            raise OneCardError(
                errors_pb2.ERROR_REASON_QUOTA_EXCEEDED,
                f"too many calls wait for answers of {recipient}",
                retry_after_ms=limits.TICK_MS,
            )
        self._held_by_caller[caller] += 1
        if recipient:
            self._held_by_recipient[recipient] += 1
        self._idle.clear()
        text = answers_text(key).encode()
        answer = AwaitedAnswer(digest)
        follower = self._follower_of(caller)
        # Added before anything is awaited, so that the follower does not end for want of calls meanwhile.
        follower.add(text, answer)
        try:
            await _started(follower)
            yield answer
        finally:
            follower.remove(text, answer)
            self._held_by_caller[caller] -= 1
            if recipient:
                self._held_by_recipient[recipient] -= 1
            if not self.held_count:
                self._idle.set()

    async def wait_until_none_held(self, seconds: float) -> bool:
        """Wait for the end of all held calls; False if some are left after the time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), seconds)
        return self._idle.is_set()

    async def stop(self) -> None:
        """Stop following."""
        followers, self._followers = list(self._followers.values()), {}
        for follower in followers:
            await follower.stop()

    def _follower_of(self, caller: str) -> _Follower:
        follower = self._followers.get(caller)
        if follower is None or follower.has_ended:
            follower = self._followers[caller] = _Follower(self._log, caller, self._stats)
        return follower


async def _started(follower: _Follower) -> None:
    try:
        await follower.started()
    except LogError:
        raise OneCardError(
            errors_pb2.ERROR_REASON_HUB_NOT_READY, "the inbox cannot be read", retry_after_ms=limits.TICK_MS
        ) from None


class _Follower:
    """Follows one inbox from its end at the time of the first call."""

    def __init__(self, inboxes: Log, caller: str, stats: Counter[str]) -> None:
        self._log = inboxes
        self._topic = inbox_topic(caller)
        self._stats = stats
        self._awaited: dict[bytes, list[AwaitedAnswer]] = {}
        self._idle_since = asyncio.get_running_loop().time()
        self._opening = asyncio.create_task(self._open(), name=f"open {self._topic}")
        self._following: asyncio.Task[None] | None = None
        self.has_ended = False

    async def started(self) -> None:
        """Wait until the end of the inbox is known; raises LogError."""
        # Shielded: the first caller may give up while others wait for the same opening.
        await asyncio.shield(self._opening)

    def add(self, text: bytes, answer: AwaitedAnswer) -> None:
        self._awaited.setdefault(text, []).append(answer)

    def remove(self, text: bytes, answer: AwaitedAnswer) -> None:
        waiting = self._awaited.get(text, [])
        waiting.remove(answer)
        if not waiting:
            del self._awaited[text]
        self._idle_since = asyncio.get_running_loop().time()

    async def stop(self) -> None:
        self.has_ended = True
        tasks = [task for task in (self._opening, self._following) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _open(self) -> None:
        try:
            ends = {partition: end for partition, (_, end) in (await self._log.bounds(self._topic)).items()}
        except BaseException:
            self.has_ended = True
            raise
        self._following = asyncio.create_task(self._follow(ends), name=f"follow {self._topic}")

    async def _follow(self, positions: Mapping[int, int]) -> None:
        reader = LingeringReader(self._log.open_reader(self._topic, positions))
        try:
            while self._awaited or asyncio.get_running_loop().time() - self._idle_since < IDLE_SECONDS:
                try:
                    self._take(await reader.read(_READ_COUNT, _READ_BYTES, _READ_WAIT_MS))
                except LogError as error:
                    log.warning("%s: %s; trying again", self._topic, error)
                    await asyncio.sleep(_RETRY_SECONDS)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("following %s failed", self._topic)
        finally:
            # No await between the last look at the calls and this line: a later call finds that it has ended.
            self.has_ended = True
            await reader.close()

    def _take(self, records: Sequence[LoggedRecord]) -> None:
        for record in records:
            text = next((value for name, value in record.headers if name == _ANSWERS_HEADER), None)
            if text is None or text not in self._awaited:
                continue
            message = message_of(dict(record.headers), record.value)
            for answer in self._awaited[text]:
                if message.header.reply_to.digest == answer.digest:
                    answer.resolve(message)
                    self._stats["calls_completed"] += 1
