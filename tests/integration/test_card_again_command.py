"""`onecard card ask-again`: a step that nobody answered past its attempts, then the operator's word, then the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import replacement_pb2
from onecard.exchange.v1 import message_pb2
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.explained import ExitCode, Explained
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import Message, from_wire, timestamp
from tests.support.card_reports import CARDS
from tests.support.directories import MEDICAL
from tests.support.gateway import Hub, Receiver, running_hub
from tests.support.holders import BEIJING, CARRY_OUT, GUANGXI, NEW, OLD, SICHUAN, SyntheticHolder, step_name
from tests.support.messages import make_signed
from tests.support.operators import Operator

pytest_plugins = ("tests.support.engines",)

HOLDER = SyntheticHolder()
DELAYS_MS = (10, 20, 30, 40, 50)
STUCK = "CREDENTIAL_FOLLOWED"


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    """A hub that loses patience early; in every other way as it is."""
    monkeypatch.setattr(limits, "REPLACEMENT_RETRY_DELAYS_MS", DELAYS_MS)
    monkeypatch.setattr(limits, "UNKNOWN_TIMER_MS", 1_000)
    participants = (HUB, BEIJING, GUANGXI, SICHUAN)
    async with running_hub(
        postgres_dsn, tmp_path / "hub", participants=participants, patterns=(MEDICAL, CARDS)
    ) as running:
        yield running


@pytest.fixture
def operator(hub: Hub, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(hub, postgres_dsn, tmp_path, monkeypatch)


def carries_out(request: Message) -> tuple[message_pb2.MessageKind, ProtoMessage]:
    """What a province answers that does what it is asked."""
    response = replacement_pb2.CarryOutStepResponse(done_time=timestamp(now_ms()), local_id="L1")
    return message_pb2.MESSAGE_KIND_REPLY, response


def asked_of(receiver: Receiver) -> list[str]:
    """The steps that a province was asked for, in order."""
    messages = [from_wire(delivery.message) for delivery in receiver.deliveries]
    return [step_name(message) for message in messages if message.header.method == CARRY_OUT]


async def tell(hub: Hub, message: Message) -> None:
    header = message.header
    signed = make_signed(
        hub.signers[header.sender],
        message.payload,
        now_ms=now_ms(),
        sender=header.sender,
        recipient=HUB,
        method=header.method,
        kind=header.kind,
    )
    (result,) = await hub.submit(header.sender, signed)
    assert result.HasField("receipt"), result


async def until_listed(operator: Operator) -> dict[str, Any]:
    """The replacement once it waits for a person."""
    async with asyncio.timeout(90):
        while True:
            listed: list[dict[str, Any]] = json.loads((await operator.look("sagas", "--stuck", "--json")).stdout)
            if listed:
                (one,) = listed
                return one
            await asyncio.sleep(0.2)


async def saga(operator: Operator, replacement_id: str, phase: str) -> dict[str, Any]:
    """The replacement once it has come to a phase."""
    async with asyncio.timeout(60):
        while True:
            told: dict[str, Any] = json.loads((await operator.look("saga", replacement_id, "--json")).stdout)
            if told["phase"] == phase:
                return told
            await asyncio.sleep(0.1)


@pytest.mark.timeout(240)
async def test_a_step_that_nobody_answered_is_asked_for_again_by_an_operators_word_and_the_replacement_completes(
    hub: Hub, operator: Operator
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        beijing, guangxi, sichuan = [
            await stack.enter_async_context(hub.receiver(one)) for one in (BEIJING, GUANGXI, SICHUAN)
        ]
        beijing.answer = guangxi.answer = carries_out
        await tell(hub, HOLDER.social("ENABLED", 1))
        await tell(hub, HOLDER.social("ENABLED", 1, card=NEW, replaces=OLD))

        waiting = await until_listed(operator)
        asked_count = len(DELAYS_MS) + 1
        assert (waiting["step"], waiting["recipient"], waiting["reason"]) == (STUCK, SICHUAN, "OUTCOME_UNKNOWN")
        assert asked_of(sichuan) == [STUCK] * asked_count
        stuck = await saga(operator, waiting["id"], "stuck")
        assert [step["phase"] for step in stuck["steps"]] == ["done", "done", "done", "stuck", "waiting", "open"]

        unasked = await operator.run("ask-again", waiting["id"], "--cause", "medical system is back")
        assert isinstance(unasked.exception, Explained)
        assert (unasked.exception.explanation.exit_code, "--yes" in str(unasked.exception)) == (ExitCode.USAGE, True)

        sichuan.answer = carries_out
        again = await operator.run("ask-again", waiting["id"], "--cause", "medical system is back", "--yes", "--json")
        assert json.loads(again.stdout) == {"asked_count": 1}
        went_on = await saga(operator, waiting["id"], "open")
        assert [step["phase"] for step in went_on["steps"]] == ["done"] * 5 + ["open"]
        assert asked_of(sichuan) == [STUCK] * (asked_count + 1) + ["MEDICAL_ACCOUNT_MOVED"]
        assert json.loads((await operator.look("sagas", "--json")).stdout) == []

        await tell(hub, HOLDER.confirm(waiting["id"]))
        await saga(operator, waiting["id"], "completed")
        nothing = await operator.run("ask-again", waiting["id"], "--cause", "by mistake", "--yes", "--json")
        assert json.loads(nothing.stdout) == {"asked_count": 0}
