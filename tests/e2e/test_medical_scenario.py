"""The country on this machine, through both dialects with the real processes: the drill, its story, and its secrecy."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onecard_broker.journal import JOURNAL_TOPIC, inbox_topic
from onecard_broker.log.cloud_events import HEADER, SIGNATURE
from onecard_stubs.dev.running import RunningCountry
from tests.support.country import country_up, numbers_in, onecard, personal_numbers, records_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

# Two stays (26 requests and replies with the coverage asked at admission), the filing, the first coverage, a cancel.
MESSAGES_OF_A_DRILL = 31


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("kafka", marks=pytest.mark.needs("java", "mvn"))],
)
def country(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCountry]:
    """A country that is up on each log, with one drill behind it."""
    directory = tmp_path_factory.mktemp("up") / request.param
    with country_up(directory, "--provinces", "cn-44,cn-51", "--log", request.param) as (running, _):
        first = onecard("scenario", "run", "medical", "--directory", str(directory), "--json")
        assert first.code == 0, first.errors or first.output
        yield running


def hub(country: RunningCountry, *arguments: str) -> Any:
    ended = onecard("message", *arguments, "--json", "--config", str(country.hub_config))
    assert ended.code == 0, ended.errors or ended.output
    return ended.json()


def settlement(country: RunningCountry) -> str:
    """Id of a settlement request."""
    return next(
        str(message["id"])
        for message in hub(country, "list", "--limit", "1000")
        if message["method"].endswith("/Settle") and message["kind"] == "request"
    )


def test_a_drill_loses_nothing_doubles_nothing_and_prints_one_object(country: RunningCountry) -> None:
    ended = onecard("scenario", "run", "medical", "--directory", str(country.directory), "--json")
    assert ended.code == 0, ended.errors or ended.output
    figures = ended.json()
    assert ended.output.count("\n") == 1
    assert {name: figures[name] for name in ("scenario", "messages", "rejected", "unknown", "lost", "doubled")} == {
        "scenario": "medical",
        "messages": MESSAGES_OF_A_DRILL,
        "rejected": 0,
        "unknown": 0,
        "lost": 0,
        "doubled": 0,
    }
    assert figures["duration_ms"] > 0
    assert all(figures["checks"].values()), figures["checks"]


def test_a_person_sees_the_bill_and_every_journey(country: RunningCountry) -> None:
    ended = onecard("scenario", "run", "medical", "--directory", str(country.directory))
    assert ended.code == 0, ended.errors or ended.output
    for part in ("The bill of the stay (yuan)", "Who pays, as Sichuan computed it", "settlement (2304)", "lost 0"):
        assert part in ended.output
    assert "✗" not in ended.output
    assert numbers_in(ended.output.encode(), personal_numbers()) == []


@pytest.mark.parametrize("columns", [80, 120])
def test_the_list_of_messages_is_readable_in_a_narrow_terminal(country: RunningCountry, columns: int) -> None:
    config = {"COLUMNS": str(columns), "ONECARD_CONFIG": str(country.hub_config)}
    ended = onecard("message", "list", "--limit", "5", changes=config)
    assert ended.code == 0, ended.errors or ended.output
    assert settlement(country) in onecard("message", "list", "--limit", "1000", changes=config).output
    assert all(len(line) <= columns for line in ended.output.splitlines())
    methods = {message["method"].rpartition("/")[2] for message in hub(country, "list", "--limit", "5")}
    assert all(method in ended.output for method in methods), ended.output


def test_the_trace_of_a_settlement_tells_every_station_in_order(country: RunningCountry) -> None:
    (story,) = hub(country, "trace", settlement(country))
    (reply,) = story["answers"]
    (delivered,), (answered,) = story["deliveries"], reply["deliveries"]
    times = [
        story["created_ms"],
        story["journal"]["append_time_ms"],
        delivered["appended_ms"],
        reply["created_ms"],
        reply["journal"]["append_time_ms"],
        answered["appended_ms"],
    ]
    assert times == sorted(times)
    assert (story["state"], reply["kind"]) == ("decided", "reply")
    assert (delivered["recipient"], answered["recipient"]) == ("cn-51", "cn-44")
    assert reply["journal"]["partition"] == story["journal"]["partition"]
    assert story["signature"]["is_good"]
    assert reply["signature"]["is_good"]


def test_a_shown_message_hides_what_is_sensitive(country: RunningCountry) -> None:
    shown = hub(country, "show", settlement(country))
    assert shown["payload"]["person"]["number"] == "***"
    assert shown["payload"]["terms"]["fees"]["total_fen"] > 0
    assert numbers_in(str(shown).encode(), personal_numbers()) == []


@pytest.mark.needs("openssl")
def test_the_files_of_a_message_verify_with_the_openssl_command_alone(country: RunningCountry, tmp_path: Path) -> None:
    config = str(country.hub_config)
    ended = onecard("message", "show", settlement(country), "--raw", str(tmp_path), "--config", config)
    assert ended.code == 0, ended.errors or ended.output

    def verifies() -> bool:
        command = "openssl pkeyutl -verify -pubin -inkey public.pem -rawin -digest sm3 -in signed.bin"
        options = ["-sigfile", "signature.der", "-pkeyopt", "distid:1234567812345678"]
        checked = subprocess.run([*command.split(), *options], cwd=tmp_path, capture_output=True, check=False)
        return checked.returncode == 0

    assert verifies()
    signed = tmp_path / "signed.bin"
    content = signed.read_bytes()
    signed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not verifies()


def test_the_audit_of_the_hub_finds_everything_accounted_for(country: RunningCountry) -> None:
    audit = hub(country, "audit")
    assert len(audit["messages"]) % MESSAGES_OF_A_DRILL == 0
    for name in ("undecided", "without_outcome", "delivered_twice", "answered_twice", "missing_numbers"):
        assert audit[name] == [], name
    assert {place.partition("/")[0] for place in audit["last_numbers"]} == {"cn-44", "cn-51"}


def test_personal_numbers_stand_in_no_log_of_any_process(country: RunningCountry) -> None:
    numbers = personal_numbers()
    logs = country.log_files()
    assert {"gateway-1.log", "worker-1.log", "adapter-cn-44.log", "adapter-cn-51.log"} <= {log.name for log in logs}
    found = {str(log): numbers_in(log.read_bytes(), numbers) for log in logs}
    assert {log: names for log, names in found.items() if names} == {}


def test_personal_numbers_stand_in_no_key_and_no_header_of_the_log(country: RunningCountry) -> None:
    numbers = personal_numbers()
    records = asyncio.run(records_of(country.hub_config, JOURNAL_TOPIC, inbox_topic("cn-44"), inbox_topic("cn-51")))
    shown = b"\n".join(
        part
        for record in records
        for name, value in record.headers
        for part in (record.key, name.encode(), base64.b64decode(value) if name in {HEADER, SIGNATURE} else value)
    )
    assert numbers_in(shown, numbers) == []
    # The search can find: the payloads are what the insured province needs to know.
    assert numbers_in(b"\n".join(record.value for record in records), numbers) != []
