"""Which answers a gateway's next append waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from types import SimpleNamespace
from typing import Any

import pytest

from onecard.exchange.v1 import message_pb2
from onecard_broker.gateway.answers_due import PROMPT_S_MAX, UNANSWERED_S, AnswersDue
from onecard_protocol.methods import MethodRegistry

QUERY = "/onecard.medical.v1.CoverageService/QueryCoverage"
EVENT = "/onecard.card.v1.CardChangeService/ReportSocialChange"
METHODS = MethodRegistry.load()


class Journal:
    """Keeps what is coming, and in how many ms."""

    def __init__(self) -> None:
        self.coming_ms: dict[Hashable, float] = {}

    def coming(self, what: Hashable, *, within_s: float | None = None) -> None:
        assert within_s is not None
        self.coming_ms[what] = 1_000 * within_s

    def came(self, what: Hashable) -> None:
        self.coming_ms.pop(what, None)


class Desk:
    """What one gateway delivers and admits, by a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        loop = SimpleNamespace(time=lambda: self.now_s)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        self.journal = Journal()
        journal: Any = self.journal
        self.due = AnswersDue(journal, METHODS)
        self._count = 0

    def deliver(
        self,
        recipient: str = "cn-51",
        method: str = QUERY,
        *,
        kind: message_pb2.MessageKind = message_pb2.MESSAGE_KIND_REQUEST,
        message_id: bytes | None = None,
    ) -> bytes:
        """A message, a new one unless it is named."""
        if message_id is None:
            self._count += 1
            message_id = self._count.to_bytes(16)
        header = message_pb2.MessageHeader(id=message_id, kind=kind)
        self.due.delivered(recipient, method, header.SerializeToString())
        return message_id

    def answer_after(self, *milliseconds: float, recipient: str = "cn-51") -> None:
        """Calls that take so long, one after the other."""
        for one in milliseconds:
            message_id = self.deliver(recipient)
            self.now_s += one / 1_000
            self.due.answered(recipient, message_id)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def test_an_answer_is_due_when_its_recipient_has_mostly_given_it(desk: Desk) -> None:
    assert not desk.due.is_prompt("cn-51")
    desk.answer_after(*[20, 28] * 100)
    assert desk.due.is_prompt("cn-51")
    message_id = desk.deliver()
    (what, within_ms), *others = desk.journal.coming_ms.items()
    assert (what, others) == (("cn-51", message_id), [])
    assert 24 < within_ms < 32
    desk.due.answered("cn-44", message_id)
    assert desk.journal.coming_ms, "another has not to answer it"
    desk.due.answered("cn-51", message_id)
    assert not desk.journal.coming_ms


def test_nothing_is_known_of_a_recipient_at_first(desk: Desk) -> None:
    desk.deliver()
    assert not desk.journal.coming_ms


def test_who_takes_long_is_not_waited_for(desk: Desk) -> None:
    desk.answer_after(*[10] * 50)
    desk.answer_after(*[2_000 * PROMPT_S_MAX] * 50)
    assert not desk.due.is_prompt("cn-51")
    desk.deliver()
    assert not desk.journal.coming_ms
    desk.answer_after(*[10] * 50)
    assert desk.due.is_prompt("cn-51")


def test_each_recipient_has_a_pace_of_its_own(desk: Desk) -> None:
    desk.answer_after(*[10] * 20)
    desk.answer_after(*[900] * 20, recipient="cn-44")
    assert (desk.due.is_prompt("cn-51"), desk.due.is_prompt("cn-44")) == (True, False)


def test_events_notices_and_methods_that_are_not_known_have_no_answer(desk: Desk) -> None:
    desk.answer_after(*[10] * 20)
    desk.deliver(method=EVENT, kind=message_pb2.MESSAGE_KIND_EVENT)
    desk.deliver(kind=message_pb2.MESSAGE_KIND_NOTICE)
    desk.deliver(method="/onecard.medical.v1.CoverageService/Later")
    assert not desk.journal.coming_ms


def test_what_is_never_answered_is_forgotten_and_makes_its_recipient_slow(desk: Desk) -> None:
    desk.answer_after(*[10] * 20)
    for _ in range(3):
        desk.deliver()
    desk.now_s += UNANSWERED_S
    desk.deliver("cn-44")
    assert not desk.journal.coming_ms
    assert not desk.due.is_prompt("cn-51")


def test_what_is_delivered_once_more_is_new(desk: Desk) -> None:
    desk.answer_after(*[10] * 20)
    message_id = desk.deliver()
    desk.now_s += UNANSWERED_S - 1
    desk.deliver(message_id=message_id)
    desk.now_s += 2
    desk.deliver()
    assert desk.due.is_prompt("cn-51")
    assert ("cn-51", message_id) in desk.journal.coming_ms
