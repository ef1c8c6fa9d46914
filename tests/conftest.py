"""The strict runner: hypothesis settings and the programs that tests need; fixtures live in tests/support."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.machine import HOW_TO_GET, what_is_missing

IN_CI = bool(os.environ.get("CI"))

# No deadline: the machine is shared. In CI the examples are the same each time, so that a result belongs to the
# change and not to the draw; at a desk they are new each time, and a failure prints the line that repeats it.
settings.register_profile(
    "onecard", deadline=None, print_blob=True, derandomize=IN_CI, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("onecard")


def pytest_report_header() -> list[str]:
    """Say at the top what this machine lacks, so that nobody takes a skipped test for a passed one."""
    return what_is_missing(tuple(program for program in HOW_TO_GET))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the long files over the beginning and the middle of the run, between the others, which stay shuffled.

    Side by side with short ones they wait while those compute; none is left alone at the end.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    long = [path for path, group in files.items() if any(item.get_closest_marker("long") for item in group)]
    short = [path for path in files if path not in set(long)]
    between = len(short) * 3 // 4 // max(len(long), 1)
    for index, path in enumerate(long):
        short.insert(index * (between + 1), path)
    items[:] = [item for path in short for item in files[path]]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold `@pytest.mark.needs(...)`: without the program a test is skipped with its name, and in CI it fails."""
    for marker in item.iter_markers("needs"):
        missing = "; ".join(what_is_missing(marker.args))
        if missing and IN_CI:
            pytest.fail(missing, pytrace=False)
        if missing:
            pytest.skip(missing)
