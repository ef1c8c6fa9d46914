"""Cards in a country of three card offices and a bank: the drills and their secrecy, the loss on each log."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from onecard_broker.journal import JOURNAL_TOPIC, inbox_topic
from onecard_protocol.identifiers import HUB
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.population import Person, Population
from onecard_stubs.scenarios.card_replaced import CARD_REPLACED
from onecard_stubs.scenarios.control import command, now_ms
from onecard_stubs.scenarios.medical import choose_patient
from tests.support.country import PROGRAM, country_up, environment, numbers_in, onecard, personal_numbers, records_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@pytest.fixture(
    scope="module",
    params=["embedded", pytest.param("kafka", marks=pytest.mark.needs("java", "mvn"))],
)
def country(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCountry]:
    """A country of everybody whom the stubs know, that is up."""
    directory = tmp_path_factory.mktemp("up") / request.param
    with country_up(directory, "--log", request.param) as (running, _):
        yield running


def drill(country: RunningCountry, name: str) -> dict[str, Any]:
    """Play a drill; its figures."""
    ended = onecard("scenario", "run", name, "--directory", str(country.directory), "--json")
    assert ended.code == 0, ended.output + ended.errors
    figures: dict[str, Any] = ended.json()
    assert ended.output.count("\n") == 1
    return figures


def at_the_core(country: RunningCountry, name: str, person: Person) -> dict[str, Any]:
    """What Sichuan's core tells of a person."""
    return asyncio.run(command(country, "cn-51", name, {"identity_number": person.identity_number}))


def next_patient(country: RunningCountry) -> Person:
    """Whose card the next drill replaces."""
    return choose_patient(Population(), asyncio.run(command(country, "cn-51", "describe"))["filings"])


def settlement_since(country: RunningCountry, since_ms: int) -> dict[str, Any]:
    """The story of the one settlement since then."""
    config = str(country.hub_config)
    ended = onecard("message", "audit", "--stories", "--since-ms", str(since_ms), "--json", "--config", config)
    assert ended.code == 0, ended.output + ended.errors
    (story,) = (story for story in ended.json()["stories"] if story["method"].endswith("/Settle"))
    return dict(story)


def test_a_card_lost_in_beijing_is_refused_in_guilin_and_accepted_when_it_is_found(country: RunningCountry) -> None:
    figures = drill(country, "card-lost")

    assert (figures["lost"], figures["doubled"], figures["unknown"], figures["rejected"]) == (0, 0, 0, 0)
    assert all(figures["checks"].values())
    # Counted from the commit in Beijing's table, with the interval of its reading beside it.
    assert figures["refused_after_ms"] > 0
    assert figures["poll_interval_ms"] == 200


@pytest.mark.parametrize("country", ["embedded"], indirect=True)
def test_a_card_is_replaced_during_a_stay_elsewhere_and_the_stay_is_settled_on_it(country: RunningCountry) -> None:
    person, started_ms = next_patient(country), now_ms()
    figures = drill(country, "card-replaced")

    assert (figures["lost"], figures["doubled"], figures["unknown"]) == (0, 0, 0)
    assert all(figures["checks"].values()), figures["checks"]
    assert "原卡失效" in figures["refused_reason"]
    old = {"kind": "03", "number": person.card_number, "recognition_code": person.card_recognition_code}
    (settlement,) = at_the_core(country, "show_credentials", person)["settlements"]
    assert (settlement["registered"], settlement["settled"]) == (old, old)
    # The hub ends the old card when it decides that the new one is enabled.
    enabled = datetime.fromisoformat(figures["steps"][0]["changed_time"])
    assert enabled.timestamp() * 1000 < settlement_since(country, started_ms)["journal"]["admitted_ms"]


@pytest.mark.parametrize("country", ["embedded"], indirect=True)
def test_the_figures_of_a_replacement_tell_its_steps_and_nobodys_numbers(country: RunningCountry) -> None:
    person = next_patient(country)
    figures = drill(country, "card-replaced")

    told = onecard("card", "saga", figures["replacement"], "--json", "--config", str(country.hub_config)).json()
    assert [(step["step"], step["phase"]) for step in figures["steps"]] == [
        ("NEW_ENABLED", "done"),
        ("OLD_SUPERSEDED", "done"),
        ("ELECTRONIC_CARD_REBOUND", "done"),
        ("CREDENTIAL_FOLLOWED", "done"),
        ("MEDICAL_ACCOUNT_MOVED", "done"),
        ("BENEFIT_ACCOUNT_CHANGED", "done"),
    ]
    assert figures["steps"] == [{name: step[name] for name in figures["steps"][0]} for step in told["steps"]]
    times = [datetime.fromisoformat(step["changed_time"]) for step in figures["steps"]]
    assert times == sorted(times)
    # The core holds both cards' numbers and codes: they are there to be found.
    cards = at_the_core(country, "show_cards", person)["cards"]
    numbers = personal_numbers() | {card[name] for card in cards for name in ("card_number", "recognition_code")}
    assert len(numbers_in(json.dumps(cards).encode(), numbers)) == 4
    assert not numbers_in(json.dumps(figures, ensure_ascii=False).encode(), numbers)
    for file in country.log_files():
        assert not numbers_in(file.read_bytes(), numbers), file.name


@pytest.mark.parametrize("country", ["embedded"], indirect=True)
def test_a_person_sees_cards_with_masked_numbers_and_numbers_for_a_reason_that_is_kept(country: RunningCountry) -> None:
    drill(country, "card-lost")
    number = asyncio.run(command(country, "cn-11", "show"))["holders"][0]
    card_number = asyncio.run(command(country, "cn-11", "show", {"identity_number": number}))["cards"][-1]["aaz500"]
    masked = show(country, number)
    assert masked.returncode == 0, masked.stderr
    assert [card["social"]["state"] for card in json.loads(masked.stdout)["cards"]] == ["ACTIVE"]
    assert not numbers_in(masked.stdout.encode(), frozenset({number, card_number}))
    without_reason = show(country, number, "--reveal")
    assert without_reason.returncode != 0
    assert "--reason" in without_reason.stderr
    revealed = show(country, number, "--reveal", "--reason", "complaint 17")
    assert card_number in revealed.stdout


def test_no_number_of_a_holder_stands_in_a_log_a_key_or_a_header(country: RunningCountry) -> None:
    drill(country, "card-lost")
    people = [one for area in ("110000", "450000") for one in Population(area)]
    numbers = personal_numbers() | {
        number for one in people for number in (one.identity_number, one.card_number, one.bank_card_number)
    }
    # The identity numbers are there to be found: the payloads hold them.
    topics = (JOURNAL_TOPIC, *map(inbox_topic, (HUB, *CARD_REPLACED.provinces)))
    records = asyncio.run(records_of(country.hub_config, *topics))
    assert any(numbers_in(record.value, numbers) for record in records)
    for record in records:
        outside = record.key + b"".join(name.encode() + value for name, value in record.headers)
        assert not numbers_in(outside, numbers)
    for file in country.log_files():
        assert not numbers_in(file.read_bytes(), numbers), file.name


def show(country: RunningCountry, number: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`onecard card show`, which reads the number where nobody sees it."""
    return subprocess.run(
        [*PROGRAM, "card", "show", "--person-number", "--config", str(country.hub_config), "--json", *options],
        input=number + "\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=environment(),
    )
