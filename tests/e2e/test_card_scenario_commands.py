"""`onecard dev up --scenario card-lost` and `card-replaced` as a person calls them: the screen, and `--json`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from onecard_broker.records.card_columns import unpack_hex
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.population import Population
from onecard_stubs.scenarios.medical import choose_patient
from tests.support.country import database_again, numbers_in, numbers_of, onecard, personal_numbers

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

STEPS = {
    "NEW_ENABLED": "the new card is enabled",
    "OLD_SUPERSEDED": "the old card ends",
    "ELECTRONIC_CARD_REBOUND": "the e-card is bound to it",
    "CREDENTIAL_FOLLOWED": "the medical credential follows",
    "MEDICAL_ACCOUNT_MOVED": "the personal medical account moves",
    "BENEFIT_ACCOUNT_CHANGED": "the benefit account is changed",
}
"""What a person reads of each step."""
NUMBERS = personal_numbers() | numbers_of("110000", "450000")


def dev_up(scenario: str, *options: str) -> str:
    """What the command printed, which is good, and in which nobody's number stands."""
    ended = onecard("dev", "up", "--scenario", scenario, *options)
    assert ended.code == 0, ended.output + ended.errors
    assert numbers_in(ended.output.encode() + ended.errors.encode(), NUMBERS) == []
    return ended.output


def figures_in(output: str, scenario: str) -> dict[str, Any]:
    """The one object that was printed, of a drill in which everything held."""
    assert output.count("\n") == 1
    figures: dict[str, Any] = json.loads(output)
    assert (figures["scenario"], figures["lost"], figures["doubled"], figures["unknown"]) == (scenario, 0, 0, 0)
    assert figures["messages"] > 0
    assert figures["checks"]
    assert all(figures["checks"].values()), figures["checks"]
    return figures


def row(shown: str, *cells: str) -> re.Match[str]:
    """A row of a table on the screen, its cells by patterns."""
    found = re.search(rf"^ {' +'.join(cells)} *$", shown, re.MULTILINE)
    assert found, f"{cells} in {shown}"
    return found


def test_the_screen_shows_a_loss_its_refusal_in_guilin_after_how_long_and_how_often_beijing_is_read() -> None:
    shown = dev_up("card-lost")

    assert "At the counter in Guilin" in shown
    row(shown, "before", "yes", "社保卡状态正常")
    refused = row(shown, "reported lost", "no", "社保卡已正式挂失，不能使用", r"(\d+) ms")
    row(shown, "found again", "yes", "社保卡状态正常", r"\d+ ms")
    assert row(shown, "loss to refusal", r"(\d+)")[1] == refused[1]
    row(shown, "Beijing's table is read every", "200")
    assert re.search(r"^messages 2 +rejected 0 +unknown 0 +lost 0 +doubled 0 ", shown, re.MULTILINE)
    assert "✗" not in shown


@pytest.mark.needs("java", "mvn")
def test_a_loss_on_kafka_is_one_object_and_nobodys_number_stands_in_a_log(tmp_path: Path) -> None:
    directory = tmp_path / "country"
    output = dev_up("card-lost", "--log", "kafka", "--json", "--directory", str(directory))

    figures = figures_in(output, "card-lost")
    assert (figures["messages"], figures["rejected"]) == (2, 0)
    # Counted from the commit in Beijing's table, with the interval of its reading beside it.
    assert figures["refused_after_ms"] > 0
    assert figures["poll_interval_ms"] == 200
    logs = RunningCountry.load(directory).log_files()
    assert {"gateway-1.log", "adapter-cn-11.log"} <= {log.name for log in logs}
    assert {log.name: found for log in logs if (found := numbers_in(log.read_bytes(), NUMBERS))} == {}


def test_the_screen_shows_a_replacement_step_by_step_with_the_stay_under_way() -> None:
    shown = dev_up("card-replaced")

    assert re.search(r"^The replacement [0-9a-f]{8}… step by step", shown, re.MULTILINE)
    rows = [row(shown, text, "cn-51", "done", r"(\d\d:\d\d:\d\d\.\d{3})", r"\d?") for text in STEPS.values()]
    assert [found.start() for found in rows] == sorted(found.start() for found in rows)
    assert [found[1] for found in rows] == sorted(found[1] for found in rows)
    # The patient was admitted, the card replaced, and then the stay was settled.
    journeys = "".join("".join(re.findall(r"^│(.*?)│", shown, re.MULTILINE)).split())
    assert re.search(r"admission\(2401\).*changeofacard.*settlement\(2304\)", journeys)
    assert "新卡已启用，原卡失效" in shown
    assert re.search(r" unknown 0 +lost 0 +doubled 0 ", shown)
    assert "✗" not in shown


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The drill in its directory, when it has ended."""

    figures: Mapping[str, Any]
    country: RunningCountry
    variables: Mapping[str, str]

    def hub(self, *arguments: str) -> Any:
        """The JSON of a command of the hub's."""
        config = str(self.country.hub_config)
        ended = onecard(*arguments, "--json", "--config", config, changes=self.variables)
        assert ended.code == 0, ended.errors or ended.output
        return ended.json()


@pytest.fixture(scope="module")
def replaced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replaced]:
    """The drill was played with `--json`; its database is there again."""
    directory = tmp_path_factory.mktemp("replaced") / "country"
    output = dev_up("card-replaced", "--json", "--directory", str(directory))
    figures = figures_in(output, "card-replaced")
    country = RunningCountry.load(directory)
    with database_again(country) as variables:
        yield Replaced(figures=figures, country=country, variables=variables)


def test_the_object_of_a_replacement_tells_its_steps_as_the_saga_does(replaced: Replaced) -> None:
    steps = replaced.figures["steps"]
    assert [(step["step"], step["phase"]) for step in steps] == [(name, "done") for name in STEPS]
    told = replaced.hub("card", "saga", replaced.figures["replacement"])
    assert told["phase"] == "completed"
    assert steps == [{name: step[name] for name in steps[0]} for step in told["steps"]]
    times = [datetime.fromisoformat(step["changed_time"]) for step in steps]
    assert times == sorted(times)


def test_an_account_that_is_told_of_before_its_card_is_explained_and_known_in_the_end(replaced: Replaced) -> None:
    (explained,) = [what for what in replaced.figures["checks"] if "CARD_UNKNOWN" in what]
    assert replaced.figures["checks"][explained]


def test_the_stay_is_settled_when_the_old_card_has_ended(replaced: Replaced) -> None:
    assert "原卡失效" in replaced.figures["refused_reason"]
    stories = replaced.hub("message", "audit", "--stories", "--since-ms", "0")["stories"]
    admitted = {story["method"].rpartition("/")[2]: story["journal"]["admitted_ms"] for story in stories}
    # The hub ends the old card when it decides that the new one is enabled.
    enabled = datetime.fromisoformat(replaced.figures["steps"][0]["changed_time"]).timestamp() * 1000
    assert admitted["Register"] < enabled < admitted["Settle"]


def test_nobodys_number_stands_in_the_figures_or_in_a_log_of_a_replacement(replaced: Replaced) -> None:
    person = choose_patient(Population())
    with psycopg.connect(replaced.variables["ONECARD_DATABASE"]) as connection:
        rows = connection.execute("SELECT number, recognition_code FROM cards").fetchall()
    cards = {(number, unpack_hex(code)) for number, code in rows}
    assert len(cards) == 2
    assert (person.card_number, person.card_recognition_code) in cards
    numbers = NUMBERS.union(*cards)
    assert numbers_in(json.dumps(replaced.figures, ensure_ascii=False).encode(), numbers) == []
    logs = replaced.country.log_files()
    assert {"worker-1.log", "adapter-cn-51.log"} <= {log.name for log in logs}
    assert {log.name: found for log in logs if (found := numbers_in(log.read_bytes(), numbers))} == {}
