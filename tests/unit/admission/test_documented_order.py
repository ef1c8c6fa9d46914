"""docs/admission.md tells the same order and the same reasons as the code."""

from __future__ import annotations

import re
from pathlib import Path

from onecard.exchange.v1 import errors_pb2
from onecard_broker.admission import rules

PAGE = Path(__file__).parents[3] / "docs" / "admission.md"
REASON = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b|\bMALFORMED\b|\bEXPIRED\b")


def test_the_page_lists_the_checks_of_the_code_in_their_order() -> None:
    table = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d+ \|", line)]
    documented = [REASON.findall(line) for line in table]
    text = (rules.__doc__ or "").split("`check_header`")[0]
    steps = re.split(r"^ ?\d+\. ", text, flags=re.MULTILINE)[1:]

    assert documented == [REASON.findall(step) for step in steps]


def test_every_reason_of_the_page_is_in_the_catalogue() -> None:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            for reason in REASON.findall(line):
                assert f"ERROR_REASON_{reason}" in errors_pb2.ErrorReason.DESCRIPTOR.values_by_name
