"""All YAML that is read: a name that stands twice is refused with file and line, in each kind of file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.profiles.models import load_profile
from onecard_adapters.settings import load_adapter_settings
from onecard_broker.settings import load_hub_settings
from onecard_protocol.errors import OneCardError
from onecard_protocol.yaml_text import read_yaml


@pytest.mark.parametrize("load", [load_hub_settings, load_adapter_settings, load_profile, CodeTables.load])
def test_a_name_that_stands_twice_in_a_file_is_refused_with_file_line_and_name(
    tmp_path: Path, load: Callable[[Path], Any]
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("network: test-a\nlog:\n  kind: embedded\n  kind: kafka\nnetwork: test-not-to-be-shown\n")
    with pytest.raises(OneCardError) as refused:
        load(file)
    assert str(file) in str(refused.value)
    assert set(refused.value.violations) == {
        ("line 4, kind", "stands there twice / 重复出现"),
        ("line 5, network", "stands there twice / 重复出现"),
    }
    assert "not-to-be-shown" not in str(refused.value)


@pytest.mark.parametrize("text", ["-11: A\n-11: B", "a: [{b: 1, b: 2}]", "a: &x {b: 1, b: 2}\nc: *x"])
def test_a_name_is_found_wherever_it_stands_and_told_once(text: str) -> None:
    with pytest.raises(OneCardError) as refused:
        read_yaml(text, "it")
    assert len(refused.value.violations) == 1


def test_the_same_name_in_two_places_and_what_stands_over_a_merged_one_are_allowed() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {deep: &c {<<: *a, x: 4}}\nd: {<<: *c, x: 5}"
    assert read_yaml(text, "it")[1] == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"deep": {"x": 4, "y": 2}},
        "d": {"x": 5, "y": 2},
    }


def test_an_alias_of_an_alias_of_an_alias_is_looked_at_once() -> None:
    lines = ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
    assert len(read_yaml("\n".join(lines), "it")[1]) == 30


@pytest.mark.parametrize(
    "text", ["a: [", "[" * 5_000, "? [a, b]\n: c", "day: 2026-13-45", "a: \x01", "a: !!int x", "*a"]
)
def test_what_is_no_yaml_is_told_so(text: str) -> None:
    with pytest.raises(OneCardError, match="it is no YAML"):
        read_yaml(text, "it")


@pytest.mark.parametrize("text", ["a: 1\nday: 2026-13-45", "a: 1\nb: {c: !!int x}", "a: 1\n? [a, b]\n: c"])
def test_a_value_that_is_none_is_told_with_its_line(text: str) -> None:
    with pytest.raises(OneCardError, match="it is no YAML, line 2 / "):
        read_yaml(text, "it")
