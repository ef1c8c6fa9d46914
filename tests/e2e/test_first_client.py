"""The commands of docs/first-client.md, run against a country: grpcurl reads it, and Go makes a signed call."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.population import Population
from onecard_stubs.scenarios.medical import choose_patient
from tests.support.go_programs import Ended, run
from tests.support.pages import blocks

REPOSITORY = Path(__file__).parents[2]
PAGE = "first-client.md"
REQUEST = REPOSITORY / "docs" / "examples" / "go" / "request.json"
PATIENT = choose_patient(Population())

pytestmark = [
    pytest.mark.needs("go", "grpcurl"),
    pytest.mark.long,
    pytest.mark.xdist_group("countries"),
    pytest.mark.timeout(400),
]


class Reader:
    """Runs the page's commands at the root of the repository, as its reader does."""

    def __init__(self, country: Country) -> None:
        self.country = country
        self._environment = {
            **os.environ,
            "COUNTRY": str(country.directory),
            "GATEWAY": country.gateway_addresses["gateway-1"],
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    async def run(self, commands: str) -> Ended:
        """Run commands; the test fails with what they printed if one fails."""
        ended = await run(
            "bash", "-euo", "pipefail", "-c", commands, directory=REPOSITORY, environment=self._environment
        )
        assert ended.code == 0, ended.output + ended.errors
        return ended


def test_the_examples_request_is_about_a_person_whom_sichuan_knows() -> None:
    request = json.loads(REQUEST.read_text(encoding="utf-8"))
    assert request == {
        "person": {"number": PATIENT.identity_number},
        "insuranceArea": PATIENT.active_enrolments[0].insurance_area,
    }


async def test_a_reader_of_the_page_reads_the_hub_and_makes_a_signed_call(tmp_path: Path) -> None:
    async with Country(CountryPlan(), tmp_path) as country:
        reader = Reader(country)
        await reads_with_grpcurl(reader)
        await registers_a_key(reader)
        await calls(reader)


async def reads_with_grpcurl(reader: Reader) -> None:
    read = await reader.run(blocks(PAGE, 2, "sh"))
    for service in ("grpc.health.v1.Health", "onecard.exchange.v1.DeliveryService", "onecard.medical.v1.FilingService"):
        assert f"{service}\n" in read.output
    assert "rpc QueryCoverage ( .onecard.medical.v1.QueryCoverageRequest )" in read.output
    assert "string insurance_area = 4;" in read.output
    assert '"status": "SERVING"' in read.output
    assert '"id": "cn-51"' in read.output
    assert "SIGNATURE_MISSING" in read.errors


async def registers_a_key(reader: Reader) -> None:
    country = reader.country
    # The last of the commands is the import, which needs the edited file.
    *make_key, import_directory = blocks(PAGE, 3, "sh").strip().splitlines()
    await reader.run("\n".join(make_key))
    (entry,) = yaml.safe_load(blocks(PAGE, 3, "yaml"))
    entry["public_key"] = (country.directory / "client.public").read_text(encoding="ascii").strip()
    directory = yaml.safe_load(country.directory_file.read_text(encoding="utf-8"))
    directory["participants"]["cn-44"]["keys"].append(entry)
    country.directory_file.write_text(yaml.safe_dump(directory, allow_unicode=True), encoding="utf-8")
    await reader.run(import_directory)
    await until_the_hub_knows(reader, '"key_id": "cn-44-go"')


async def until_the_hub_knows(reader: Reader, text: str) -> None:
    """A gateway follows the directory's changes within a second or two."""
    call = blocks(PAGE, 2, "sh").split("\ncall ")[0]
    listing = f'{call}\ncall "$GATEWAY" onecard.exchange.v1.DirectoryService/ListParticipants'
    async with asyncio.timeout(30):
        while text not in (await reader.run(listing)).output:  # noqa: ASYNC110 - it is another process that changes
            await asyncio.sleep(0.2)


async def calls(reader: Reader) -> None:
    called = await reader.run(blocks(PAGE, 4, "sh"))
    answer = json.loads(called.output)
    assert answer["person"]["number"] == PATIENT.identity_number
    assert answer["insuredNumber"]["personalNumber"] == PATIENT.personal_number
    assert answer["details"]["name"] == PATIENT.name
    assert "receipt: message" in called.errors
    assert "answer: signed by who was asked, bound to the request" in called.errors
