"""`onecard bench cards --drift` and `--registry` as commands, with few cards: whole countries, seconds each."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.country import Finished, onecard

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

COUNT = 1_000
KINDS = ("missing-here", "missing-there", "other-version", "other-state", "other-data")


@pytest.fixture(scope="module")
def both() -> tuple[Finished, Finished]:
    """Both commands at once, since each mostly waits."""
    arguments = [("--drift", "--log", "embedded", "--json"), ("--registry",)]
    with ThreadPoolExecutor() as pool:
        drift, registry = pool.map(lambda one: onecard("bench", "cards", "--count", str(COUNT), *one), arguments)
    return drift, registry


def test_drift_finds_200_differences_of_both_machines_and_no_others(both: tuple[Finished, Finished]) -> None:
    drift, _ = both
    assert drift.code == 0, drift.errors
    figures = drift.json()
    assert figures["found"] == figures["planted"] == dict.fromkeys(KINDS, 40)
    assert figures["planted_in_accounts"].keys() == {"other-version", "other-state"}
    assert (figures["cards"], figures["wrong"]) == (COUNT, 0)
    assert {"card-drift-1", "card-copies"} <= figures["processes"].keys()


def test_the_registry_tells_on_the_screen_what_a_card_takes(both: tuple[Finished, Finished]) -> None:
    _, registry = both
    assert registry.code == 0, registry.errors
    *screen, last = registry.output.splitlines()
    figures = json.loads(last)
    assert figures["cards"] == COUNT
    assert figures["bytes_per_card"] == pytest.approx(sum(figures["by_relation"].values()), abs=1)
    assert figures["by_relation"]["cards"] > 0
    for name in ("rate_per_s", "bytes_per_card", "nation_gigabytes"):
        assert any(name in line and str(figures[name]) in line for line in screen), screen
