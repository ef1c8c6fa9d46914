"""An operator at the hub's machine, who runs `onecard card …` against a hub of `tests.support.gateway`."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from onecard_broker.commands import card_calls
from onecard_broker.commands.card import app
from onecard_broker.operations.hub_calls import open_channel
from tests.support.directories import certificate_name
from tests.support.gateway import Hub
from tests.support.hub_files import write_hub_configuration


class Operator:
    """Runs commands with the hub's key and certificate."""

    def __init__(self, hub: Hub, dsn: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """`directory` takes the hub's configuration."""
        self._config = write_hub_configuration(directory, dsn)
        self._gateway = f"127.0.0.1:{hub.gateways[0].port}"
        files = hub.authority.issue(certificate_name("cn-00"))
        # The gateway of these tests bears a name of its own; in production it bears the hub's.
        authority = hub.authority.issue("gateway.onecard.test").authority_file
        settings = yaml.safe_load(self._config.read_text())
        settings["gateway"]["tls"] = {
            "certificate_file": str(files.certificate_file),
            "private_key_file": str(files.private_key_file),
            "client_authority_file": str(authority),
        }
        self._config.write_text(yaml.safe_dump(settings))
        named = functools.partial(open_channel, server_name="gateway.onecard.test")
        monkeypatch.setattr(card_calls, "open_channel", named)
        monkeypatch.setattr(card_calls, "hub_signer", lambda _: hub.signers["cn-00"])

    async def run(self, command: str, *arguments: str, numbers: tuple[str, ...] = ()) -> Result:
        """A command that signs, through the gateway; `numbers` come by standard input."""
        return await self.look(command, "--gateway", self._gateway, *arguments, numbers=numbers)

    async def look(self, command: str, *arguments: str, numbers: tuple[str, ...] = ()) -> Result:
        """A command that only reads the database."""
        words = [command, "--config", str(self._config), *arguments]
        lines = "".join(f"{number}\n" for number in numbers)
        return await asyncio.to_thread(CliRunner().invoke, app, words, input=lines)
