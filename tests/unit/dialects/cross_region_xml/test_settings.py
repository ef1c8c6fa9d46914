"""Settings of the form in a profile: each is demanded where it is read, and unknown elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from onecard_adapters import profiles
from onecard_adapters.profiles.models import load_profile
from onecard_protocol.errors import OneCardError

SHIPPED = Path(profiles.__file__).parent / "cn-51.yaml"
READ = {
    "care": {"operator_code", "duplicate_transid_codes"},
    "insured": {"operator_code", "duplicate_transid_codes", "settlement_class"},
    "card": set(),
}
"""What a role reads of its core beside what every role reads; duplicate_transid_codes may be left out."""
VALUES = {"operator_code": "111", "settlement_class": "12", "duplicate_transid_codes": [-11]}


def refusal_of(directory: Path, role: str, core: dict[str, Any]) -> str:
    """What is told of the shipped profile with another core in one role; nothing if it is taken."""
    content = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    for one in READ:
        content[one]["code_tables"] = str(SHIPPED.parent / content[one]["code_tables"])
    common = {name: content[role]["core"][name] for name in ("url", "operation", "refusals")}
    content[role]["core"] = common | core
    file = directory / "cn-51.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    try:
        load_profile(file)
    except OneCardError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("role", READ)
def test_a_role_takes_what_it_reads_of_its_core_and_nothing_else(tmp_path: Path, role: str) -> None:
    read = {name: VALUES[name] for name in READ[role]}
    assert refusal_of(tmp_path, role, read) == ""
    for name in VALUES.keys() - READ[role]:
        assert f"{role}.core.{name}: unknown setting" in refusal_of(tmp_path, role, {**read, name: VALUES[name]})


@pytest.mark.parametrize(("role", "name"), [(role, name) for role in READ for name in sorted(READ[role])])
def test_a_role_demands_what_it_reads_of_its_core(tmp_path: Path, role: str, name: str) -> None:
    refusal = refusal_of(tmp_path, role, {other: VALUES[other] for other in READ[role] - {name}})
    assert (f"{role}.core.{name}: is missing" in refusal) == (name != "duplicate_transid_codes")
