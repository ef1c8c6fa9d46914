"""The benchmarks of cards: what their commands print, and what the load of losses counts."""

from __future__ import annotations

import contextlib
import itertools
import json
import types
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from onecard.card.v1 import status_pb2
from onecard_adapters.load import card_messages, cards
from onecard_adapters.load.sending import Sent
from onecard_protocol import cli
from onecard_protocol.explained import ExitCode
from onecard_protocol.identifiers import PROVINCES
from onecard_stubs.bench import card_drift, card_registry, measure
from onecard_stubs.bench.measure import Benchmark

COUNT = 5_000


@pytest.fixture(params=["--drift", "--registry"])
def option(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What to measure; what is asked for is told as its figures."""

    async def drift(benchmark: card_drift.DriftBenchmark, report: object) -> dict[str, Any]:
        return {"name": "card drift", "cards": benchmark.card_count, "found": {"other-data": 3}, "wrong": 0}

    async def registry(card_count: int, report: object) -> dict[str, Any]:
        return {"name": "card registry", "cards": card_count}

    monkeypatch.setattr(card_drift, "measure_drift", drift)
    monkeypatch.setattr(card_registry, "measure_registry", registry)
    return str(request.param)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", "cards", "--count", str(COUNT), *arguments])
    return int(ended.value.code or 0)


def test_the_screen_shows_a_line_for_each_figure(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(option) == ExitCode.DONE
    *table, last = capsys.readouterr().out.splitlines()
    figures = json.loads(last)
    assert figures["cards"] == COUNT
    assert table[0].strip() == figures["name"]
    rows = [[cell.strip() for cell in line.split("│")] for line in table if "│" in line]
    shown = {row[1]: row[2] for row in rows}
    assert shown == {name: json.dumps(value) for name, value in figures.items()}


def test_json_is_one_object_alone(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(option, "--json") == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["cards"] == COUNT


def test_a_comparison_that_found_something_else_than_was_planted_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drift(benchmark: object, report: object) -> dict[str, Any]:
        return {"name": "card drift", "wrong": 1}

    monkeypatch.setattr(card_drift, "measure_drift", drift)
    assert run("--drift", "--json") == 1


async def test_every_change_among_which_losses_are_watched_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[int] = []

    @contextlib.asynccontextmanager
    async def open_sender(settings: object, stream: object, sent: Sent, *, by_batch: bool) -> AsyncIterator[Any]:
        async def submit(count: int) -> None:
            submitted.append(count)
            sent.note(0, count)

        yield types.SimpleNamespace(submit=submit)

    @contextlib.asynccontextmanager
    async def open_gateway(settings: object) -> AsyncIterator[tuple[None, None]]:
        yield None, None

    async def refused(*_: object, **__: object) -> status_pb2.VerifyCardResponse:
        return status_pb2.VerifyCardResponse(verdict=status_pb2.CARD_VERDICT_TEMPORARILY_LOST)

    monkeypatch.setattr(cards, "open_sender", open_sender)
    monkeypatch.setattr(cards, "open_gateway", open_gateway)
    monkeypatch.setattr(cards, "_stub", lambda gateway: types.SimpleNamespace(VerifyCard=refused))
    monkeypatch.setattr(cards, "now_ms", itertools.count().__next__)
    settings: Any = None
    sent = Sent()
    sent.message_count = 7

    await cards.lose_cards(settings, sent, until_ms=100, rate_per_s=1e9, by_batch=True)

    assert sent.message_count == 7 + sum(submitted)
    assert 0 < len(sent.ended_ms) < len(submitted)


async def test_a_change_around_the_watched_losses_that_does_not_arrive_is_lost(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def observe(*_: object) -> measure._Observed:
        noted = {"ended_ms": [0], "duration_ms": [150], "begun_ms": 0, "until_ms": 1}
        return measure._Observed({"messages": 100, "failures": 0, "failure_examples": [], **noted}, {}, {})

    async def settled(*_: object) -> dict[str, Any]:
        return {"messages": 198, "repeats": 3}

    async def run_beside(*_: object) -> Any:
        return types.SimpleNamespace(wait_until=observe)

    monkeypatch.setattr(measure, "_observe", observe)
    monkeypatch.setattr(measure, "_settled_reception", settled)
    country: Any = types.SimpleNamespace(
        directory=tmp_path, run_beside=run_beside, adapter_config=lambda participant: tmp_path / participant
    )

    figures = await measure._through_sdk(Benchmark(kind="loss", seconds=1), country, lambda text: None)

    assert (figures["lost"], figures["doubled"], figures["p50_ms"]) == (2, 3, 150)


@pytest.mark.parametrize("kind", ["cards", "loss"])
def test_a_change_concerns_two_of_the_32_which_go_by_turns(kind: measure.Kind) -> None:
    """The province where the holder lives, and one that follows that place; the issuer is told nothing."""
    benchmark = Benchmark(kind=kind)
    followed = benchmark.plan.followers
    residences = [f"cn-{card_messages.residence_area(serial)[:2]}" for serial in range(31)]
    assert sorted(residences) == sorted(benchmark.receivers) == sorted(PROVINCES - {card_messages.ISSUER})
    told = [{home, *(one for one, places in followed.items() if home in places)} for home in residences]
    assert {len(concerned) for concerned in told} == {benchmark.delivery_count} == {2}
    assert Counter(one for concerned in told for one in concerned) == dict.fromkeys(benchmark.receivers, 2)
