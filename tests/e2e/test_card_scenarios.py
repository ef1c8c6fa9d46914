"""Cards in a country of four card offices and a bank that stays up: a drill in it, its secrecy, looking at a card."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from onecard_broker.journal import JOURNAL_TOPIC, inbox_topic
from onecard_protocol.identifiers import HUB
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.scenarios.card_lost import CARD_LOST
from onecard_stubs.scenarios.control import command
from tests.support.country import Finished, country_up, numbers_in, numbers_of, onecard, personal_numbers, records_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCountry]:
    """A country of everybody whom the stubs know, that is up."""
    with country_up(tmp_path_factory.mktemp("up") / "country") as (running, _):
        yield running


@pytest.fixture(scope="module")
def lost(country: RunningCountry) -> dict[str, Any]:
    """The figures of a drill in it."""
    ended = onecard("scenario", "run", "card-lost", "--directory", str(country.directory), "--json")
    assert ended.code == 0, ended.output + ended.errors
    assert ended.output.count("\n") == 1
    figures: dict[str, Any] = ended.json()
    return figures


def test_a_card_lost_in_beijing_is_refused_in_guilin_and_accepted_when_it_is_found(lost: dict[str, Any]) -> None:
    assert (lost["lost"], lost["doubled"], lost["unknown"], lost["rejected"]) == (0, 0, 0, 0)
    assert all(lost["checks"].values())
    # Counted from the commit in Beijing's table, with the interval of its reading beside it.
    assert lost["refused_after_ms"] > 0
    assert lost["poll_interval_ms"] == 200


@pytest.mark.usefixtures("lost")
def test_a_person_sees_cards_with_masked_numbers_and_numbers_for_a_reason_that_is_kept(country: RunningCountry) -> None:
    number = asyncio.run(command(country, "cn-11", "show"))["holders"][0]
    card_number = asyncio.run(command(country, "cn-11", "show", {"identity_number": number}))["cards"][-1]["aaz500"]
    masked = show(country, number)
    assert masked.code == 0, masked.errors
    assert [card["social"]["state"] for card in masked.json()["cards"]] == ["ACTIVE"]
    assert not numbers_in(masked.output.encode(), frozenset({number, card_number}))
    without_reason = show(country, number, "--reveal")
    assert without_reason.code != 0
    assert "--reason" in without_reason.errors
    revealed = show(country, number, "--reveal", "--reason", "complaint 17")
    assert card_number in revealed.output


@pytest.mark.usefixtures("lost")
def test_no_number_of_a_holder_stands_in_a_log_a_key_or_a_header(country: RunningCountry) -> None:
    numbers = personal_numbers() | numbers_of("110000", "450000")
    # The identity numbers are there to be found: the payloads hold them.
    topics = (JOURNAL_TOPIC, *map(inbox_topic, (HUB, *CARD_LOST.provinces)))
    records = asyncio.run(records_of(country.hub_config, *topics))
    assert any(numbers_in(record.value, numbers) for record in records)
    for record in records:
        outside = record.key + b"".join(name.encode() + value for name, value in record.headers)
        assert not numbers_in(outside, numbers)
    for file in country.log_files():
        assert not numbers_in(file.read_bytes(), numbers), file.name


def show(country: RunningCountry, number: str, *options: str) -> Finished:
    """`onecard card show`, which reads the number where nobody sees it."""
    config = str(country.hub_config)
    return onecard("card", "show", "--person-number", "--config", config, "--json", *options, typed=number)
