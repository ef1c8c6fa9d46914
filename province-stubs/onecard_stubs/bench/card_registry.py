"""The registry with millions of cards: how fast a snapshot is loaded, and how many bytes a card takes.

Runs the ordinary `onecard card load` on a snapshot of synthetic cards and looks at the tables afterwards. The country's
size is the bytes of a card times its holders.
"""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

from onecard_stubs.dev.country import Country
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.dev.processes import ChildProcess

HOLDERS: Final = 1_380_000_000
STEP_SECONDS: Final = 1_800
_POLL_SECONDS: Final = 0.1
_SIZES: Final = """
    SELECT regexp_replace(relname, '_p[0-9]+', ''), sum(pg_relation_size(oid)) FROM pg_class
    WHERE relname ~ '^(cards|cardholders)_p[0-9]+' GROUP BY 1 ORDER BY 1
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a loading took."""

    seconds: float
    snapshot_bytes: int
    peak_mb: float
    """Of the loading process."""
    database_cpu_s: float


async def measure_registry(card_count: int, report: Callable[[str], None]) -> dict[str, Any]:
    """Load so many cards, and return the figures. Raises Explained where a process fails."""
    plan = CountryPlan(provinces=("cn-44", "cn-51"), runs_provinces=False)
    with tempfile.TemporaryDirectory(prefix="onecard-bench-", ignore_cleanup_errors=True) as name:
        async with Country(plan, Path(name), report=report) as country:
            loaded = await load_registry(country, card_count, report)
            by_relation = await asyncio.to_thread(_sizes, country.database, card_count)
    bytes_per_card = sum(by_relation.values())
    return {
        "name": "card registry",
        "cards": card_count,
        "rate_per_s": round(card_count / loaded.seconds),
        "load_seconds": loaded.seconds,
        "database_cpu_us_per_card": round(loaded.database_cpu_s * 1e6 / card_count, 1),
        "snapshot_bytes_per_card": round(loaded.snapshot_bytes / card_count),
        "bytes_per_card": round(bytes_per_card),
        "by_relation": by_relation,
        "nation_gigabytes": round(bytes_per_card * HOLDERS / 1e9),
        "processes": {"card-load": {"peak_mb": round(loaded.peak_mb, 1)}},
    }


async def load_registry(
    country: Country, card_count: int, report: Callable[[str], None], *, has_accounts: bool = False
) -> Loaded:
    """Write a snapshot of synthetic cards, and load it into the country's registry."""
    snapshot = country.directory / "cards.snapshot"
    report("writing the snapshot")
    options = ["--cards", str(card_count), *(["--accounts"] if has_accounts else [])]
    writing = await country.run_beside("card-snapshot", ["load", "card-snapshot", str(snapshot), *options])
    await run_to_end(writing)
    report("loading the registry")
    begun, database_before = time.monotonic(), _cpu_s(country.process_ids["postgres"])
    loading = await country.run_beside(
        "card-load", ["card", "load", str(snapshot), "--config", str(country.hub_config)]
    )
    peaks = await run_to_end(loading)
    return Loaded(
        seconds=round(time.monotonic() - begun, 1),
        snapshot_bytes=snapshot.stat().st_size,
        peak_mb=peaks[loading.name],
        database_cpu_s=_cpu_s(country.process_ids["postgres"]) - database_before,
    )


async def run_to_end(
    process: ChildProcess, *others: ChildProcess, expected: frozenset[int] = frozenset({0})
) -> dict[str, float]:
    """Wait for the process's end; the peak memory of it and of others until then, in MB.

    Raises Explained where it failed with another exit code than `expected`.
    """
    peaks: dict[str, float] = {}
    deadline = time.monotonic() + STEP_SECONDS
    while process.process_id is not None:
        if time.monotonic() > deadline:
            raise process.failure()
        for one in (process, *others):
            try:
                peak = psutil.Process(one.process_id).memory_info().rss / 1e6
            except psutil.Error:
                continue
            peaks[one.name] = max(peaks.get(one.name, 0.0), peak)
        await asyncio.sleep(_POLL_SECONDS)
    if process.exit_code not in expected:
        raise process.failure()
    return peaks


def _sizes(dsn: str, card_count: int) -> dict[str, float]:
    """Bytes a card of tables and indexes, by kind."""
    with psycopg.connect(dsn) as connection:
        return {name: round(float(size) / card_count, 1) for name, size in connection.execute(_SIZES).fetchall()}


def _cpu_s(process_id: int) -> float:
    """CPU seconds of PostgreSQL, its children that have ended included."""
    process = psutil.Process(process_id)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times) + times[0].children_user + times[0].children_system
