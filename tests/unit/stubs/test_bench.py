"""The benchmarks: what they refuse, how they count, and the form of their figures."""

from __future__ import annotations

import json
import re
import time
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

from onecard_protocol import cli
from onecard_protocol.explained import ExitCode
from onecard_stubs.bench import measure
from onecard_stubs.bench.comparing import lost_and_doubled
from onecard_stubs.bench.hospital_load import HospitalLoad
from onecard_stubs.bench.measure import Benchmark
from onecard_stubs.guangdong.counter import Answer, Stay
from onecard_stubs.guangdong.hospital import Hospital


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["bench", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Benchmark]:
    """The benchmarks that a command would have run; each of them measures nothing."""
    asked: list[Benchmark] = []

    async def nothing(benchmark: Benchmark, report: object) -> dict[str, Any]:
        asked.append(benchmark)
        sent = {"begun_ms": 0, "until_ms": 1, "failures": 0, "failure_examples": [], "stale": 0}
        observed = measure._Observed(sent, {}, {"busy_percent": 93.4, "stolen_percent": 4.0})
        return measure._figures(benchmark, observed, [], [], lost=0, doubled=0)

    monkeypatch.setattr(measure, "measure", nothing)
    return asked


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("C.UTF-8", "Adapters sign by the batch that waits"),
        ("zh_CN.UTF-8", "逐条签名只能通过 SDK 测量"),
    ],
)
def test_adapters_are_not_measured_with_one_signature_each(
    locale: str,
    text: str,
    measured: list[Benchmark],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    assert run("settlements", "--through", "dialects", "--signing", "single") == ExitCode.USAGE
    assert text in capsys.readouterr().err.replace("\n", "")
    assert not measured
    assert run("settlements", "--through", "sdk", "--signing", "single") == ExitCode.DONE
    assert [benchmark.signing for benchmark in measured] == ["single"]


@pytest.mark.parametrize(
    "options",
    [
        ("--brokers", "0"),
        ("--brokers", "2"),
        ("--brokers", "4"),
        ("--brokers", "3", "--log", "embedded"),
    ],
)
def test_brokers_are_one_or_three_and_kafkas(options: tuple[str, ...], measured: list[Benchmark]) -> None:
    for kind in ("events", "calls", "settlements"):
        assert run(kind, *options) == ExitCode.USAGE
    assert not measured
    assert run("events", "--brokers", "3") == ExitCode.DONE
    assert [benchmark.broker_count for benchmark in measured] == [3]


def test_the_figures_name_benchmark_and_log_exactly_and_say_the_rest_beside(
    measured: list[Benchmark], capsys: pytest.CaptureFixture[str]
) -> None:
    named = ("name", "log", "brokers", "through", "signing", "concurrency", "seconds")
    found = []
    for options in (
        ("events", "--brokers", "3", "--concurrency", "7"),
        ("calls", "--log", "embedded"),
        ("settlements", "--through", "dialects", "--seconds", "4"),
    ):
        assert run(*options, "--json") == ExitCode.DONE
        figures = json.loads(capsys.readouterr().out)
        found.append(tuple(figures[name] for name in named))
    assert found == [
        ("events", "kafka", 3, "sdk", "adaptive", 7, 15),
        ("calls", "embedded", 0, "sdk", "adaptive", 512, 15),
        ("settlements", "kafka", 1, "dialects", "adaptive", 512, 4),
    ]


def test_the_table_says_in_words_what_was_measured(
    measured: list[Benchmark], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("settlements", "--brokers", "3") == ExitCode.DONE
    title = " ".join(capsys.readouterr().out.split())
    assert "settlements through both dialects on kafka (3 brokers), signing adaptive" in title
    assert "Of the machine's time 93 % was used, and 4 % taken by other guests of its host." in title


@pytest.mark.parametrize(
    ("told", "in_doubt", "standing", "expected"),
    [
        (["A1", "A2"], [], {"A1": "V1", "A2": "V2"}, (0, 0)),
        (["A1", "A2"], [], {"A1": "V1", "A3": "V1"}, (1, 1)),
        (["A1", "A2"], [], {"A1": "V1", "A3": "V3"}, (1, 1)),
        (["A1", "A1"], [], {"A1": "V1"}, (0, 1)),
        (["A1"], ["V2"], {"A1": "V1", "A2": "V2"}, (0, 0)),
        (["A1"], ["V2"], {"A1": "V1", "A2": "V2", "A3": "V2"}, (0, 1)),
        (["A1"], ["V2"], {"A1": "V1", "A3": "V1"}, (0, 1)),
    ],
)
def test_lost_and_doubled_are_told_settlement_by_settlement(
    told: list[str], in_doubt: list[str], standing: Mapping[str, str], expected: tuple[int, int]
) -> None:
    assert lost_and_doubled(told, in_doubt, standing) == expected


class Counter:
    """A hospital whose every trade succeeds, except the settling of visits that it is told of."""

    def __init__(self, *, unanswered: str = "") -> None:
        self.unanswered = unanswered

    async def pre_settle(self, stay: Stay) -> Answer:
        return Answer(code=0, text="", output={}, body=b"")

    async def settle(self, stay: Stay) -> Answer:
        if stay.visit_id == self.unanswered:
            return Answer(code=-1, text="unknown", output={}, body=b"")
        return Answer(code=0, text="", output={"setlinfo": {"setl_id": f"A-{stay.visit_id}"}}, body=b"")


def load_of(*visits: str, unanswered: str = "") -> HospitalLoad:
    load = HospitalLoad(cast(Hospital, Counter(unanswered=unanswered)), "")
    load._stays.extend(
        Stay(
            person=cast(Any, None),
            credential=cast(Any, None),
            insurance_area="510100",
            insurance_kind="310",
            visit_id=visit,
            is_inpatient=False,
        )
        for visit in visits
    )
    return load


@pytest.mark.parametrize(
    "options",
    [
        ("--registry", "--log", "embedded"),
        ("--registry", "--brokers", "3"),
        ("--registry", "--drift"),
        ("--registry", "--seconds", "15"),
        ("--drift", "--what", "status"),
        ("--drift", "--rate", "0"),
        ("--drift", "--concurrency", "4"),
        ("--drift", "--signing", "single"),
        ("--count", "1000"),
        ("--what", "status", "--rate", "5"),
        ("--what", "statuses", "--signing", "single"),
        ("--what", "loss", "--concurrency", "2"),
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(
    options: tuple[str, ...], measured: list[Benchmark], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cards", *options) == ExitCode.USAGE
    assert "has no meaning beside" in " ".join(capsys.readouterr().err.split())
    assert not measured


@pytest.mark.parametrize(
    ("options", "kind", "at_once"),
    [
        ((), "cards", 4),
        (("--what", "everyone", "--rate", "300"), "everyone", 4),
        (("--what", "statuses"), "statuses", 16),
        (("--what", "status"), "status", 64),
        (("--what", "status", "--concurrency", "2"), "status", 2),
        (("--what", "loss", "--rate", "250", "--signing", "single"), "loss", 4),
    ],
)
def test_each_load_of_cards_is_measured_by_its_name(
    options: tuple[str, ...], kind: str, at_once: int, measured: list[Benchmark]
) -> None:
    assert run("cards", "--json", *options) == ExitCode.DONE
    (benchmark,) = measured
    assert (benchmark.kind, benchmark.concurrency, benchmark.log) == (kind, at_once, "kafka")


@pytest.mark.parametrize("rate_per_s", [0.0, 1_000.0])
async def test_a_load_that_runs_out_of_stays_says_so(rate_per_s: float) -> None:
    load = load_of("V1", "V2", "V3")
    await load.run(until_ms=time.time_ns() // 1_000_000 + 60_000, concurrency=2, rate_per_s=rate_per_s)
    assert sorted(load.settlement_ids) == ["A-V1", "A-V2", "A-V3"]
    assert re.fullmatch(r"the prepared stays ran out \d\d\.\d s before the end", load.shortfall)


async def test_a_load_that_lasts_says_nothing() -> None:
    load = load_of(*[f"V{number}" for number in range(200_000)])
    await load.run(until_ms=time.time_ns() // 1_000_000 + 2_000, concurrency=2, rate_per_s=100)
    assert load.settlement_ids
    assert load.shortfall == ""


async def test_a_visit_whose_settling_was_not_told_is_in_doubt() -> None:
    load = load_of("V1", "V2", unanswered="V1")
    await load.run(until_ms=time.time_ns() // 1_000_000 + 60_000, concurrency=1, rate_per_s=0)
    assert load.settlement_ids == ["A-V2"]
    assert load.visits_in_doubt == ["V1"]


def test_memory_has_grown_by_what_the_last_quarter_held_above_the_second() -> None:
    use = measure._Use(cpu_s=0.0, memory_mb=[10.0, 50.0, 60.0, 62.0, 64.0, 66.0, 70.0, 72.0])

    assert use.grown_mb == 71.0 - 61.0
    assert measure._Use(cpu_s=0.0, memory_mb=[10.0, 50.0]).grown_mb == 0.0


async def test_a_load_that_ends_before_the_last_look_keeps_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([{"gateway-1": 1.0, "load-sender": 1.0}, {"gateway-1": 2.0, "load-sender": 4.0}])
    sent_file = tmp_path / "sent.json"
    sent_file.write_text("{}")

    times = iter([0, 0, 1, 2])

    async def announced(sender: Any) -> tuple[int, int]:
        return 0, 2  # Two looks after the first.

    def uses(country: Any) -> dict[str, measure._Use]:
        return {name: measure._Use(cpu_s, [50.0]) for name, cpu_s in next(looks, {"gateway-1": 3.0}).items()}

    async def wait_until(condition: Any, seconds: float) -> None:
        assert await condition()

    monkeypatch.setattr(measure, "_announced", announced)
    monkeypatch.setattr(measure, "_now_ms", lambda: next(times))
    monkeypatch.setattr(measure, "_uses", uses)
    sender: Any = types.SimpleNamespace(wait_until=wait_until)
    country: Any = None

    observed = await measure._observe(Benchmark(kind="calls"), country, sender, sent_file, lambda text: None)

    assert {name: use.cpu_s for name, use in observed.used.items()} == {"gateway-1": 2.0, "load-sender": 3.0}


class _Times(NamedTuple):
    user: float
    system: float
    idle: float
    iowait: float
    steal: float
    guest: float


def test_of_the_machines_time_a_share_was_used_and_another_one_taken_by_its_host() -> None:
    """Of 200 s of two cores 90 + 30 were used, 64 + 6 idle, 10 stolen; the guests' 20 stand in the users' as well."""
    before = _Times(user=1000, system=200, idle=5000, iowait=10, steal=7, guest=100)
    after = _Times(user=1090, system=230, idle=5064, iowait=16, steal=17, guest=120)

    assert measure._machine_shares(before, after) == {"busy_percent": 60.0, "stolen_percent": 5.0}
