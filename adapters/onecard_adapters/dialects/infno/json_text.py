"""JSON as local systems write it, read without a float and written with exact decimals.

Owns bytes to values and back. Tolerant where clients differ (byte order mark, raw control characters in texts), strict
where a guess could change a bill: numbers become Decimal, a name that stands twice in one object is refused, NaN is no
number. Errors name the position, never the content.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring as _quoted
from typing import Any, Final, NoReturn

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError

_DEPTH_MAX: Final = 32
_EXPONENT_MAX: Final = 40
_LARGE_EXPONENT: Final = re.compile(r"\d[eE][+-]?\d{3}")
_BYTE_ORDER_MARK: Final = "\ufeff"


def parse_object(body: bytes, *, mends_halves: bool = False) -> dict[str, Any]:
    """The JSON object in `body`. Raises LOCAL_FORM_INVALID with line, column and byte or character position.

    With `mends_halves` half of a surrogate pair, as is left of a rare character that was cut, is read as U+FFFD: for an
    answer to what was done already.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _invalid(f"byte {error.start}: not UTF-8")
    if text.startswith(_BYTE_ORDER_MARK):  # A second one; `json.loads` would look for it.
        _invalid("line 1 column 1 (character 0): Unexpected UTF-8 BOM (decode using utf-8-sig)")
    try:
        # What a number with a large exponent stands for may take all memory once it is written out.
        value = (_DECODER if _LARGE_EXPONENT.search(text) is None else _CAREFUL_DECODER).decode(text)
    except json.JSONDecodeError as error:
        _invalid(f"line {error.lineno} column {error.colno} (character {error.pos}): {error.msg}")
    except RecursionError:
        _invalid("nested too deeply")
    except ValueError:  # an integer of thousands of digits
        _invalid("a number is too long")
    if not isinstance(value, dict):
        _invalid("not a JSON object")
    # Only a text with so many brackets can be so deep.
    if text.count("{") + text.count("[") > _DEPTH_MAX:
        _check_depth(value, 1)
    if "\\ud" in text or "\\uD" in text:
        whole = _without_halves(value)
        if whole != value and not mends_halves:
            _invalid("half of a surrogate pair")
        return whole  # type: ignore[no-any-return]
    return value


def _invalid(problem: str) -> NoReturn:
    raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"JSON {problem}")


def _bounded(number: str) -> Decimal:
    try:
        found = Decimal(number)
    except ArithmeticError:
        _invalid("a number is out of range")
    if abs(found.adjusted()) > _EXPONENT_MAX:
        _invalid("a number is out of range")
    return found


def _without_halves(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_halves(name): _without_halves(inner) for name, inner in value.items()}
    return [_without_halves(inner) for inner in value] if isinstance(value, list) else value


def _no_constant(_: str) -> NoReturn:
    _invalid("NaN and Infinity are no numbers")


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _invalid("a name stands twice in one object")
    return found


def _check_depth(value: object, depth: int) -> None:
    if depth > _DEPTH_MAX:
        _invalid("nested too deeply")
    if isinstance(value, dict):
        for inner in value.values():
            _check_depth(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_depth(inner, depth + 1)


# `json.loads` makes a decoder each time it is asked for more than its own.
_DECODER: Final = json.JSONDecoder(
    strict=False, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_object_of_pairs
)
_CAREFUL_DECODER: Final = json.JSONDecoder(
    strict=False, parse_float=_bounded, parse_constant=_no_constant, object_pairs_hook=_object_of_pairs
)


def write(value: object) -> str:
    """Compact JSON; Decimals are numbers with exactly their digits ("2.00" stays 2.00). Floats are refused."""
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


class Written(dict[str, Any]):
    """An object with its JSON, which `write` takes over: an answer is stored and sent. Not to be changed."""

    __slots__ = ("text",)

    def __init__(self, value: Mapping[str, Any]) -> None:
        super().__init__(value)
        self.text = write(value)


def _write(value: object, parts: list[str]) -> None:
    # The adapter's busiest loop: plain dicts with plain values are written without a call for each of them.
    if type(value) is dict:
        separator = "{"
        for name, inner in value.items():
            kind = type(inner)
            if kind is str:
                parts.append(f"{separator}{_quoted(name)}:{_quoted(inner)}")
            elif inner is None:
                parts.append(f"{separator}{_quoted(name)}:null")
            elif kind is Decimal:
                parts.append(f"{separator}{_quoted(name)}:{inner:f}")
            else:
                parts.append(f"{separator}{_quoted(name)}:")
                _write(inner, parts)
            separator = ","
        parts.append("}" if value else "{}")
    elif isinstance(value, str):
        parts.append(_quoted(value))
    elif value is None:
        parts.append("null")
    elif isinstance(value, Decimal):
        parts.append(format(value, "f"))
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, int):
        parts.append(str(value))
    elif isinstance(value, Written):
        parts.append(value.text)
    elif isinstance(value, Mapping):
        _write(dict(value.items()), parts)
    elif isinstance(value, list | tuple):
        separator = "["
        for inner in value:
            parts.append(separator)
            _write(inner, parts)
            separator = ","
        parts.append("]" if value else "[]")
    else:
        raise TypeError(f"{type(value).__name__} has no exact JSON form")
