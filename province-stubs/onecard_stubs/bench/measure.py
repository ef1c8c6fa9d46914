"""Runs one benchmark: a country, both ends of its load, and what every process used in the measured time."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import psutil

from onecard_protocol.identifiers import PROVINCES
from onecard_stubs.bench.comparing import lost_and_doubled
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.dev.processes import ChildProcess

Kind = Literal["events", "calls", "settlements", "cards", "everyone", "statuses", "status", "loss"]

SENDER: Final = "cn-44"
QUESTION_COUNT: Final = 50
"""Questions in one query of the load `statuses`, as the sending end asks them."""
_CARD_NAMES: Final = {
    "cards": "card changes",
    "everyone": "card changes to everyone",
    "statuses": "card statuses in queries of 50",
    "status": "card statuses one by one",
    "loss": "loss to refusal",
}
_STAYS_A_SECOND: Final = {"sdk": 700, "dialects": 350}
_END_SECONDS: Final = 120


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What to measure."""

    kind: Kind
    log: Literal["embedded", "kafka"] = "kafka"
    broker_count: int = 1
    signing: Literal["adaptive", "single"] = "adaptive"
    through: Literal["sdk", "dialects"] = "sdk"
    seconds: float = 15.0
    warm_up_seconds: float = 10.0
    concurrency: int = 64
    rate_per_s: float = 0.0
    """Units a second, 0 for as many as go."""

    @property
    def name(self) -> str:
        """What its figures are called."""
        return _CARD_NAMES.get(self.kind, self.kind)

    @property
    def load(self) -> str:
        """The kind of load that the sending end knows."""
        return "cards" if self.kind == "everyone" else self.kind

    @property
    def receivers(self) -> tuple[str, ...]:
        """Participants that the load is delivered to; none where it is read only."""
        match self.kind:
            case "statuses" | "status":
                return ()
            case "cards" | "loss" | "everyone":
                return tuple(sorted(PROVINCES - {SENDER}))
            case _:
                return ("cn-51",)

    @property
    def delivery_count(self) -> int:
        """How many of them each message is delivered to."""
        return 2 if self.kind in ("cards", "loss") else len(self.receivers)

    @property
    def plan(self) -> CountryPlan:
        """The country that it needs."""
        followers: dict[str, tuple[str, ...]] = {}
        if self.kind in ("cards", "loss"):
            # The load's holders live in all of them by turns, and each province follows those of the one before it.
            followers = {
                one: (before,)
                for before, one in zip(self.receivers, (*self.receivers[1:], self.receivers[0]), strict=True)
            }
        elif self.kind == "everyone":
            followers = dict.fromkeys(self.receivers, ())
        return CountryPlan(
            log=self.log,
            broker_count=self.broker_count,
            provinces=(SENDER, *(self.receivers or ("cn-51",))),
            runs_provinces=self.through == "dialects",
            followers=followers,
        )


@dataclasses.dataclass(slots=True)
class _Use:
    cpu_s: float
    memory_mb: list[float]
    """As often as it was looked at."""

    @property
    def grown_mb(self) -> float:
        """What the last quarter of the time held above the second one; the first is still a beginning."""
        quarter = len(self.memory_mb) // 4
        if not quarter:
            return 0.0
        return statistics.mean(self.memory_mb[-quarter:]) - statistics.mean(self.memory_mb[quarter : 2 * quarter])


@dataclasses.dataclass(frozen=True, slots=True)
class _Observed:
    """What was seen from a load's beginning to its end."""

    sent: dict[str, Any]
    used: dict[str, _Use]
    machine: dict[str, float]
    """Shares in percent of the machine's time: busy, and taken by other guests of the same host."""


async def measure(benchmark: Benchmark, report: Callable[[str], None]) -> dict[str, Any]:
    """Run it and return its figures (design.md, section 11). Raises Explained where a process fails."""
    with tempfile.TemporaryDirectory(prefix="onecard-bench-", ignore_cleanup_errors=True) as name:
        async with Country(benchmark.plan, Path(name), report=report) as country:
            if benchmark.through == "dialects":
                return await _through_dialects(benchmark, country, report)
            return await _through_sdk(benchmark, country, report)


async def _through_sdk(benchmark: Benchmark, country: Country, report: Callable[[str], None]) -> dict[str, Any]:
    received_file, sent_file = country.directory / "received.json", country.directory / "sent.json"
    receiver = None
    if benchmark.receivers:
        configs = [("--config", str(country.adapter_config(participant))) for participant in benchmark.receivers]
        receiver = await country.run_beside(
            "load-receiver",
            [
                *("load", "receive", *(option for config in configs for option in config)),
                *("--report", str(received_file), "--kind", benchmark.load, "--signing", benchmark.signing),
            ],
        )
        await receiver.wait_until(_is_there(received_file), _END_SECONDS)
    stays = 0
    if benchmark.kind == "settlements":
        rate = benchmark.rate_per_s or _STAYS_A_SECOND["sdk"]
        stays = round(rate * (benchmark.seconds + benchmark.warm_up_seconds)) + benchmark.concurrency
    sender = await country.run_beside(
        "load-sender",
        [
            *("load", "send", "--config", str(country.adapter_config(SENDER)), "--report", str(sent_file)),
            *("--kind", benchmark.load, "--stays", str(stays)),
            *_load_options(benchmark),
            *("--signing", benchmark.signing),
        ],
    )
    observed = await _observe(benchmark, country, sender, sent_file, report)
    sent = observed.sent
    ended, durations, lost, doubled = sent["ended_ms"], sent["duration_ms"], 0, 0
    if receiver is not None:
        received = await _settled_reception(receiver, received_file)
        lost = max(0, sent["messages"] * benchmark.delivery_count - received["messages"])
        doubled = received["repeats"]
        if benchmark.load in ("events", "cards"):
            ended, durations = received["arrived_ms"], received["latency_ms"]
    return _figures(benchmark, observed, ended, durations, lost=lost, doubled=doubled)


async def _through_dialects(benchmark: Benchmark, country: Country, report: Callable[[str], None]) -> dict[str, Any]:
    sent_file = country.directory / "sent.json"
    running = country.running()
    rate = benchmark.rate_per_s or _STAYS_A_SECOND["dialects"]
    stays = round(rate * (benchmark.seconds + benchmark.warm_up_seconds)) + benchmark.concurrency
    sender = await country.run_beside(
        "load-hospital",
        [
            *("bench", "hospital", "--adapter-url", running.adapter_urls["cn-44"]),
            *("--control-url", running.stub_urls["cn-51"], "--report", str(sent_file), "--stays", str(stays)),
            *_load_options(benchmark),
        ],
    )
    observed = await _observe(benchmark, country, sender, sent_file, report)
    sent = observed.sent
    standing = await _standing(running.stub_urls["cn-51"])
    lost, doubled = lost_and_doubled(sent["settlement_ids"], sent["visits_in_doubt"], standing)
    return _figures(benchmark, observed, sent["ended_ms"], sent["duration_ms"], lost=lost, doubled=doubled)


def _load_options(benchmark: Benchmark) -> list[str]:
    return [
        *("--seconds", str(benchmark.seconds), "--warm-up-seconds", str(benchmark.warm_up_seconds)),
        *("--concurrency", str(benchmark.concurrency), "--rate", str(benchmark.rate_per_s)),
    ]


async def _observe(
    benchmark: Benchmark, country: Country, sender: ChildProcess, sent_file: Path, report: Callable[[str], None]
) -> _Observed:
    """Wait for the load's beginning, watch the processes through it, and read what was sent."""
    report("preparing the load")
    begun_ms, until_ms = await _announced(sender)
    report(f"measuring for {benchmark.seconds:g} s")
    await _until(begun_ms)
    machine_before, before = psutil.cpu_times(), _uses(country)
    after, memory_mb = before, {name: list(use.memory_mb) for name, use in before.items()}
    while _now_ms() < until_ms:
        await asyncio.sleep(0.5)
        uses = _uses(country)
        after = {**after, **uses}  # The load may end just before the last look.
        for name, use in uses.items():
            memory_mb.setdefault(name, []).extend(use.memory_mb)
    machine = _machine_shares(machine_before, psutil.cpu_times())
    await sender.wait_until(_is_there(sent_file), _END_SECONDS)
    sent = _read(sent_file)
    used = {
        name: _Use(use.cpu_s - (before[name].cpu_s if name in before else 0.0), memory_mb[name])
        for name, use in after.items()
    }
    return _Observed(sent, used, machine)


def _machine_shares(before: Any, after: Any) -> dict[str, float]:
    """Percent of the cores' time between two of psutil's looks; what a host takes is told by Linux alone."""

    def spent(*names: str) -> float:
        return sum(getattr(after, name, 0.0) - getattr(before, name, 0.0) for name in names)

    # Time of guests is counted in that of users already.
    total = sum(after) - sum(before) - spent("guest", "guest_nice")
    stolen = spent("steal")
    busy = total - spent("idle", "iowait") - stolen
    return {
        "busy_percent": round(100 * busy / max(total, 0.01), 1),
        "stolen_percent": round(100 * stolen / max(total, 0.01), 1),
    }


async def _announced(sender: ChildProcess) -> tuple[int, int]:
    """The begin and the end that the sender announces in its log."""
    found: list[tuple[int, int]] = []

    async def is_announced() -> bool:
        for line in sender.log_file.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("ready "):
                begun, until = line.split()[1:]
                found.append((int(begun), int(until)))
        return bool(found)

    await sender.wait_until(is_announced, _END_SECONDS * 3)
    return found[0]


async def _settled_reception(receiver: ChildProcess, file: Path) -> dict[str, Any]:
    """End the receiver once nothing more comes, and read what it received."""
    await receiver.terminate(grace_seconds=_END_SECONDS)
    return _read(file)


async def _standing(control_url: str) -> dict[str, str]:
    """The visit of each settlement that stands in the insured province's core."""
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{control_url}/control/command/settlements_standing", json={}) as response,
    ):
        standing: dict[str, str] = await response.json()
    return standing


def _figures(
    benchmark: Benchmark,
    observed: _Observed,
    ended_ms: list[int],
    durations_ms: list[int],
    *,
    lost: int,
    doubled: int,
) -> dict[str, Any]:
    """The figures: a rate of units, latencies and CPU time of calls, of which a settlement is two."""
    sent = observed.sent
    begun, until = sent["begun_ms"], sent["until_ms"]
    measured = sorted(
        duration for ended, duration in zip(ended_ms, durations_ms, strict=True) if begun <= ended < until
    )
    units_a_measure = _units_a_measure(benchmark)
    units = len(measured) * units_a_measure
    return {
        "name": benchmark.name,
        "log": benchmark.log,
        "brokers": benchmark.broker_count if benchmark.log == "kafka" else 0,
        "through": benchmark.through,
        "signing": benchmark.signing,
        "concurrency": benchmark.concurrency,
        "seconds": benchmark.seconds,
        "rate_per_s": round(units / benchmark.seconds, 1),
        "p50_ms": statistics.median(measured) if measured else 0,
        "p99_ms": measured[int(len(measured) * 0.99)] if measured else 0,
        "lost": lost,
        "doubled": doubled,
        **({"stale": sent["stale"]} if benchmark.kind in ("statuses", "status") else {}),
        "failures": sent["failures"],
        "failure_examples": sent["failure_examples"],
        "machine": observed.machine,
        "processes": {
            name: {
                "cpu_us_per_message": round(use.cpu_s * 1e6 / max(1.0, _messages(benchmark, units)), 1),
                "peak_mb": round(max(use.memory_mb), 1),
                "grown_mb": round(use.grown_mb, 1),
            }
            for name, use in sorted(observed.used.items())
        },
    }


def _units_a_measure(benchmark: Benchmark) -> float:
    """A settlement is measured as two calls, an event at each of its receivers, a query as a whole."""
    match benchmark.kind:
        case "settlements":
            return 0.5
        case "events" | "cards" | "everyone":
            return 1 / benchmark.delivery_count
        case "statuses":
            return QUESTION_COUNT
        case _:
            return 1.0


def _messages(benchmark: Benchmark, units: float) -> float:
    """What CPU time is told by: calls, events and statuses."""
    return units * 2 if benchmark.kind == "settlements" else units


def _uses(country: Country) -> dict[str, _Use]:
    """CPU time and memory of every process.

    Of PostgreSQL the CPU time of all its processes, those that ended since included, and the memory of the largest:
    they share most of it.
    """
    uses: dict[str, _Use] = {}
    for name, process_id in country.process_ids.items():
        try:
            process = psutil.Process(process_id)
            family = [process, *process.children(recursive=True)] if name == "postgres" else [process]
            times = [one.cpu_times() for one in family]
            ended = times[0].children_user + times[0].children_system if name == "postgres" else 0.0
            memory = [one.memory_info().rss for one in family]
        except psutil.Error:
            continue
        uses[name] = _Use(ended + sum(time.user + time.system for time in times), [max(memory) / 1e6])
    return uses


def _is_there(file: Path) -> Callable[[], Any]:
    async def is_there() -> bool:
        return await asyncio.to_thread(file.exists)

    return is_there


def _read(file: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return report


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000


async def _until(time_ms: int) -> None:
    await asyncio.sleep(max(0, time_ms - _now_ms()) / 1000)
