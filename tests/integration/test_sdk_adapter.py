"""The adapter process: what it serves, how it starts and stops, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import yaml

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_adapters.runtime.adapter import running_adapter
from onecard_adapters.settings import load_adapter_settings
from onecard_protocol.errors import OneCardError
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangxi.core import GuangxiCardOffice
from tests.support.adapter_files import write_configuration, write_key, write_profile
from tests.support.card_offices import step_request
from tests.support.eventually import eventually
from tests.support.fake_hub import NETWORK
from tests.support.messages import make_signed
from tests.support.sdk_country import Country, country


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Country]:
    async with country(tmp_path) as made:
        yield made


def config_file(one: Country, participant: str, *profiles: Path, network: str = NETWORK) -> Path:
    """An adapter's configuration with a key that the hub knows."""
    if not (one.directory / f"{participant}.json").exists():
        one.hub.add_participant(participant)
        one.hub.signers[participant] = write_key(one.directory, participant)
        one.hub.put_key(participant, one.hub.signers[participant])
    return write_configuration(
        one.directory,
        participant,
        *profiles,
        network=network,
        gateways=[gateway.address for gateway in one.gateways],
        hub=one.hub.signer,
    )


@pytest.mark.parametrize("participant", ["cn-44", "cn-51"])
async def test_an_adapter_serves_both_roles_of_its_profile(one: Country, participant: str) -> None:
    config = config_file(one, participant, write_profile(one.directory, participant))
    async with running_adapter(load_adapter_settings(config)) as served:
        await served.exchange.wait_ready()
        handlers = served.exchange._servicers.handlers
        (address,) = served.care_addresses
        async with aiohttp.ClientSession() as session, session.post(address, data=b"nothing of the dialect") as answer:
            assert answer.status == 200
            assert await answer.read()

    assert set(handlers) >= {name for name in served.exchange.methods if name.startswith("/onecard.medical.v1.")}
    assert "place of care" in served.description
    assert "insured province" in served.description
    assert participant in served.description


async def test_a_profile_of_another_province_is_refused(one: Country) -> None:
    config = config_file(one, "cn-44", write_profile(one.directory, "cn-51"))
    with pytest.raises(OneCardError) as refused:
        async with running_adapter(load_adapter_settings(config)):
            pass

    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert "cn-51" in refused.value.detail


async def test_a_taken_port_is_named_and_everything_is_closed_again(one: Country) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = config_file(one, "cn-44", write_profile(one.directory, "cn-44", port=port))
        with pytest.raises(OneCardError) as refused:
            async with running_adapter(load_adapter_settings(config)):
                pass

    assert str(port) in refused.value.detail
    config = config_file(one, "cn-44", write_profile(one.directory, "cn-44"))
    async with running_adapter(load_adapter_settings(config)):
        pass


async def test_a_key_of_another_province_is_refused(one: Country) -> None:
    config = config_file(one, "cn-44", write_profile(one.directory, "cn-44"))
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**content, "participant": "cn-51", "profile_files": []}))
    with pytest.raises(OneCardError, match="is a key of cn-44"):
        async with running_adapter(load_adapter_settings(config)):
            pass


async def test_a_step_that_an_office_is_at_is_answered_before_the_adapter_stops(one: Country) -> None:
    office = GuangxiCardOffice()
    await office.start()
    try:
        person = office.population.people[0]
        cards = {"old": ("cn-45", person.card_number), "new": ("cn-45", "A99500001")}
        step = step_request("CREDENTIAL_FOLLOWED", number=person.identity_number, **cards)  # type: ignore[arg-type]
        office.behaviours.set("换卡事项", Switches(delay_ms=500))
        config = config_file(one, "cn-45", write_profile(one.directory, "cn-45", core=office.url))
        async with running_adapter(load_adapter_settings(config)) as served:
            await served.exchange.wait_ready()
            asked = make_signed(
                one.hub.signer,
                step,
                now_ms=one.hub.now_ms(),
                sender="cn-00",
                recipient="cn-45",
                method="/onecard.card.v1.CardReplacementService/CarryOutStep",
                network=NETWORK,
            )
            one.hub.admit(asked)
            await eventually(lambda: office.verbs_asked == ["换卡事项"])
    finally:
        await office.stop()

    assert office.verbs_asked == ["换卡事项"]
    assert [message.header.kind for message in one.hub.journal] == [
        message_pb2.MESSAGE_KIND_REQUEST,
        message_pb2.MESSAGE_KIND_REPLY,
    ]


async def start(config: Path) -> asyncio.subprocess.Process:
    code = "from onecard_adapters.commands.adapter import app; app()"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "run", "--config", str(config), stderr=asyncio.subprocess.PIPE
    )


async def test_the_command_says_what_it_serves_and_stops_on_sigterm(one: Country) -> None:
    config = config_file(one, "cn-44", write_profile(one.directory, "cn-44"))
    process = await start(config)
    assert process.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while not any("serves" in line for line in lines):
            line = await process.stderr.readline()
            assert line, lines
            lines.append(line.decode())
        await eventually(lambda: bool(one.hub.received_cursors))
        process.send_signal(signal.SIGTERM)
        await process.stderr.read()
        assert await process.wait() == 0
    assert json.dumps(lines, ensure_ascii=False).count("广东省") == 1


async def test_a_store_of_another_epoch_ends_the_command_with_what_to_do(one: Country) -> None:
    config = config_file(one, "cn-44", write_profile(one.directory, "cn-44"))
    async with running_adapter(load_adapter_settings(config)) as served:
        await served.exchange.wait_ready()
        one.hub.deliver("cn-44", one.hub.controls[0], 0)
        await eventually(lambda: served.exchange._parts.delivery._cursor != b"")
    one.hub.epoch = "epoch-2"
    process = await start(config)
    async with asyncio.timeout(60):
        _, output = await process.communicate()

    assert process.returncode not in (0, None)
    assert "CURSOR_FOREIGN_EPOCH" in output.decode()
