"""What is set up wrong is told in English and in Chinese: whoever sets it up reads the details, not a programmer."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import onecard_adapters
import onecard_broker
import onecard_protocol

_ROOTS = [Path(package.__path__[0]) for package in (onecard_adapters, onecard_broker, onecard_protocol)]
_SET_UP = ("CONFIGURATION_INVALID", "STORE_TOO_NEW")


def literal(node: ast.expr) -> str:
    """The words of a text, without what is put into it; empty for what is no literal."""
    match node:
        case ast.Constant(value=str(words)):
            return words
        case ast.JoinedStr(values=parts):
            return "".join(map(literal, parts))
        case _:
            return ""


def is_refusal(call: ast.Call) -> bool:
    return len(call.args) > 1 and ast.unparse(call.args[0]).endswith(_SET_UP)


def details(module: ast.Module) -> Iterator[ast.expr]:
    """The details of such refusals, in the module's own functions that make one of their argument too."""
    own: dict[str, int] = {}
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef):
            names = [argument.arg for argument in function.args.args]
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and is_refusal(call) and ast.unparse(call.args[1]) in names:
                    own[function.name] = names.index(ast.unparse(call.args[1]))
    for call in ast.walk(module):
        if isinstance(call, ast.Call) and is_refusal(call):
            yield call.args[1]
        elif isinstance(call, ast.Call) and ast.unparse(call.func) in {*own, "invalid_configuration"}:
            yield call.args[own.get(ast.unparse(call.func), 0)]


def test_every_detail_of_what_is_set_up_wrong_stands_in_both_languages() -> None:
    told = {
        f"{file.name}:{detail.lineno}": words
        for root in _ROOTS
        for file in root.rglob("*.py")
        for detail in details(ast.parse(file.read_text(encoding="utf-8")))
        if (words := literal(detail)).strip()
    }

    assert len(told) > 40
    assert {place: words for place, words in told.items() if not re.search(" / .*[\u4e00-\u9fff]", words, re.S)} == {}
