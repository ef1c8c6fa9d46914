"""The strict runner: hypothesis settings and the programs that tests need; fixtures live in tests/support."""

from __future__ import annotations

import os

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


@pytest.hookimpl(tryfirst=True)  # Before pytest-xdist reads the groups.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that none is left alone at the end; the others stay shuffled.

    A file runs in one piece. Files with countries are two groups, so that two countries at most share the machine.
    """
    long_files = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long_files)
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold `@pytest.mark.needs(...)`: without the program a test is skipped with its name, and in CI it fails."""
    for marker in item.iter_markers("needs"):
        missing = "; ".join(what_is_missing(marker.args))
        if missing and IN_CI:
            pytest.fail(missing, pytrace=False)
        if missing:
            pytest.skip(missing)
