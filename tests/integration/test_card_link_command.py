"""`onecard card link` and `unlink` through a real gateway: signed by the hub, decided, answered, and no number told."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
import yaml
from typer.testing import CliRunner, Result

from onecard.exchange.v1 import errors_pb2
from onecard_broker.commands import card_calls
from onecard_broker.commands.card import app
from onecard_broker.operations.hub_calls import open_channel
from onecard_protocol.errors import OneCardError
from tests.support.card_reports import CARDS
from tests.support.directories import MEDICAL, certificate_name
from tests.support.gateway import Hub, running_hub
from tests.support.hub_files import write_hub_configuration
from tests.support.messages import citizen_number

pytest_plugins = ("tests.support.engines",)

OLD, NEW, OTHER = (citizen_number(serial) for serial in (1, 2, 3))


class Operator:
    """Runs commands as at the hub's machine."""

    def __init__(self, config: Path, gateway: str, dsn: str) -> None:
        self._config = config
        self._gateway = gateway
        self._dsn = dsn

    async def run(self, command: str, *arguments: str, numbers: tuple[str, ...]) -> Result:
        words = [command, "--config", str(self._config), "--gateway", self._gateway, *arguments]
        lines = "".join(f"{number}\n" for number in numbers)
        return await asyncio.to_thread(CliRunner().invoke, app, words, input=lines)

    def link_count(self) -> int:
        with psycopg.connect(self._dsn) as connection:
            row = connection.execute("SELECT count(*) FROM cardholders WHERE linked_to IS NOT NULL").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path / "hub", patterns=(MEDICAL, CARDS)) as hub:
        yield hub


@pytest.fixture
def operator(hub: Hub, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    config = write_hub_configuration(tmp_path, postgres_dsn)
    files = hub.authority.issue(certificate_name("cn-00"))
    # The gateway of these tests bears a name of its own; in production it bears the hub's.
    authority = hub.authority.issue("gateway.onecard.test").authority_file
    settings = yaml.safe_load(config.read_text())
    settings["gateway"]["tls"] = {
        "certificate_file": str(files.certificate_file),
        "private_key_file": str(files.private_key_file),
        "client_authority_file": str(authority),
    }
    config.write_text(yaml.safe_dump(settings))
    named = functools.partial(open_channel, server_name="gateway.onecard.test")
    monkeypatch.setattr(card_calls, "open_channel", named)
    monkeypatch.setattr(card_calls, "hub_signer", lambda _: hub.signers["cn-00"])
    return Operator(config, f"127.0.0.1:{hub.gateways[0].port}", postgres_dsn)


@pytest.mark.timeout(180)
async def test_numbers_are_linked_and_the_link_is_taken_back(operator: Operator) -> None:
    linked = await operator.run("link", "--document", "decision 17", "--yes", "--json", numbers=(OLD, NEW))
    assert (linked.exception, linked.stdout.endswith('{"card_count": 0}\n')) == (None, True)
    assert operator.link_count() == 1

    conflict = await operator.run("link", "--document", "decision 18", "--yes", numbers=(OLD, OTHER))
    assert isinstance(conflict.exception, OneCardError)
    assert conflict.exception.reason == errors_pb2.ERROR_REASON_LINK_CONFLICT

    unlinked = await operator.run("unlink", "--cause", "mistaken", "--yes", numbers=(OLD,))
    assert (unlinked.exception, "已解除关联" in unlinked.stdout) == (None, True)
    assert operator.link_count() == 0
    for result in (linked, conflict, unlinked):
        assert not any(number in result.output + str(result.exception) for number in (OLD, NEW, OTHER))


async def test_nothing_is_signed_without_a_yes_a_document_and_numbers_that_are_some(operator: Operator) -> None:
    for arguments, numbers in (
        (("--document", "decision 17"), (OLD, NEW)),
        (("--document", " ", "--yes"), (OLD, NEW)),
        (("--document", "decision 17", "--yes"), (OLD, OLD[:-1])),
    ):
        result = await operator.run("link", *arguments, numbers=numbers)
        assert isinstance(result.exception, OneCardError)
        assert OLD[:-1] not in result.output + result.exception.describe("en")
    assert operator.link_count() == 0
