"""`onecard demo`, the first thing that a person sees: the installed program, to its end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from onecard_protocol.explained import ExitCode
from tests.support.country import environment, processes_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

PROGRAM = Path(sys.executable).parent / "onecard"
AMOUNT = r"[\d,]+\.\d\d"


def test_the_demo_shows_the_bill_and_the_journeys_says_what_is_next_and_leaves_nothing(tmp_path: Path) -> None:
    printed, told = tmp_path / "printed", tmp_path / "told"
    place = tmp_path / "place"
    place.mkdir()
    started: set[psutil.Process] = set()
    # A child without our import path: what runs is the installed program.
    variables = environment({"TMPDIR": str(place), "COLUMNS": "120", "PYTHONPATH": ""})
    with printed.open("w") as output, told.open("w") as errors:
        demo = subprocess.Popen(
            [PROGRAM, "demo"], stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=variables
        )
        try:
            while demo.poll() is None:
                started.update(processes_of(place))
                try:
                    demo.wait(0.5)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            demo.kill()
            demo.wait()
    shown = printed.read_text(encoding="utf-8")

    assert demo.returncode == ExitCode.DONE, told.read_text(encoding="utf-8")
    assert "The bill of the stay (yuan)" in shown
    assert re.search(rf"^ total +\d+( +{AMOUNT}){{5}} *$", shown, re.MULTILINE)
    assert "Who pays, as Sichuan computed it (yuan)" in shown
    assert "The journey of each message" in shown
    assert re.search(r"cn-44 → cn-51 \d\d:\d\d:\d\d.*\n.*✓ SM2 signature", shown)
    assert "✗" not in shown
    assert re.search(r"lost 0 +doubled 0 ", shown)
    assert re.search(r"onecard dev up +keeps it running", shown)
    assert len(started) >= 7
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []
    assert processes_of(place) == []
    assert [path.name for path in place.iterdir() if path.name.startswith("onecard-")] == []
