"""The commands of docs/connect-a-province.md, run against a country: a third province asks, and is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onecard_stubs.dev.country import Country
from onecard_stubs.dev.free_ports import free_ports, is_listening
from onecard_stubs.dev.plan import CountryPlan
from tests.support.eventually import eventually
from tests.support.go_programs import run
from tests.support.pages import DOCS, blocks

PAGE = "connect-a-province.md"

pytestmark = [
    pytest.mark.needs("openssl", "curl"),
    pytest.mark.long,
    pytest.mark.xdist_group("countries"),
    pytest.mark.timeout(400),
]


class Reader:
    """Runs the page's commands at the root of the repository, in one shell's environment."""

    def __init__(self, country: Country, site: Path) -> None:
        self.ports = free_ports(3)
        gateway, adapter, core = map(str, self.ports)
        self._environment = {
            **os.environ,
            "COUNTRY": str(country.directory),
            "SITE": str(site),
            "FIRST_GATEWAY": country.gateway_addresses["gateway-1"],
            "GUANGDONG": country.adapter_urls["cn-44"],
            "GATEWAY": f"127.0.0.1:{gateway}",
            "ADAPTER_PORT": adapter,
            "CORE_PORT": core,
            "ONECARD_CONFIG": str(country.directory / "hub.yaml"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    async def run(self, *steps: int) -> str:
        """Run the commands of steps; the test fails with what they printed if one fails."""
        commands = "".join(blocks(PAGE, step, "sh") for step in steps)
        ended = await run(
            "bash", "-euo", "pipefail", "-c", commands, directory=DOCS.parent, environment=self._environment
        )
        assert ended.code == 0, ended.output + ended.errors
        return ended.output

    @contextlib.asynccontextmanager
    async def running(self, step: int, port: int) -> AsyncIterator[None]:
        """The program of a step, in a terminal of its own; entered once it listens."""
        command = f"set -m; {blocks(PAGE, step, '').strip()} & trap 'kill %1; wait' TERM; wait"
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", command, cwd=DOCS.parent, env=self._environment, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await eventually(lambda: process.returncode is not None or is_listening(port))
            assert process.returncode is None, command
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def test_a_reader_of_the_page_connects_a_province_that_asks_and_is_asked(tmp_path: Path) -> None:
    async with Country(CountryPlan(), tmp_path / "country") as country:
        reader = Reader(country, tmp_path / "site")
        gateway, adapter, core = reader.ports
        await reader.run(2, 3, 4)
        async with reader.running(3, gateway):
            checked = await reader.run(5)
            assert "Every code has its counterpart in both directions." in checked
            async with reader.running(5, adapter):
                asked = await until_answered(reader, 6)
                assert [row["insutype"] for row in asked["insuinfo"]] == ["310"]
                # The core's file is written by the same block that asks: the first question finds no core.
                with contextlib.suppress(AssertionError):
                    await reader.run(6, 7)
                async with reader.running(7, core):
                    told = await until_answered(reader, 6, 7)
                    assert told["baseinfo"]["psn_name"] == "示例人员"


async def until_answered(reader: Reader, *steps: int) -> Any:
    """What the last question of the steps brings, once gateways have seen the new province read."""
    async with asyncio.timeout(60):
        while True:
            output = await reader.run(*steps)
            answer = json.loads(output[output.rindex('{"infcode"') :])
            if answer["infcode"] == 0:
                return answer["output"]
            await asyncio.sleep(0.5)
