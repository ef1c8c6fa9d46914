"""Declarative field rules between a flat local object and a national message, read and written by the same rule.

A FieldMap is checked against the message's descriptor when it is made: every national path exists and is of the codec's
kind, no name and no path stands twice. So a mapping that would lose a field, or read what it cannot write, fails at
import and not at a counter. Local objects are flat mappings (a JSON object, the elements of an XML node); the path in
an error names the local field.
"""

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard.exchange.v1.values_pb2 import CalendarDay, CodedValue
from onecard_adapters.mapping import amounts
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError

# What local systems send for "not filled"; the word null was seen in headers and fields of one client.
_ABSENT_TEXTS: Final = frozenset({"", "null"})
_TEXT_CHARACTERS_MAX: Final = 4_000
_DAY: Final = re.compile(r"(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{4})(\d{2})(\d{2})(?:\d{6})?)(?=$|[ T])")


def is_absent(value: object) -> bool:
    """Whether a local value means "not filled": None, an empty or blank text, the word null."""
    return value is None or (isinstance(value, str) and value.strip() in _ABSENT_TEXTS)


def _form_invalid(path: str, problem: str) -> OneCardError:
    return OneCardError(ErrorReason.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: {problem}")


def text_from(value: object, path: str) -> str:
    """A local text as received; numbers are taken as their digits, because clients disagree on quotes."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        text = format(value, "f") if isinstance(value, Decimal) else str(value)
    else:
        raise _form_invalid(path, "not a text")
    if len(text) > _TEXT_CHARACTERS_MAX:
        raise _form_invalid(path, f"longer than {_TEXT_CHARACTERS_MAX} characters")
    return text


def day_from(value: object, path: str) -> CalendarDay:
    """A day from "2024-03-15", "20240315", with a time behind it, or with blanks in it ("2019 - 01 - 01")."""
    text = text_from(value, path).strip()
    # Blanks stand around the dashes in one province; behind the day they separate a time, which is not needed.
    match = _DAY.match(re.sub(r"\s*-\s*", "-", text))
    if match is None:
        raise _form_invalid(path, "not a day")
    year, month, day = (int(group) for group in match.groups() if group is not None)
    try:
        datetime.date(year, month, day)
    except ValueError as error:
        raise _form_invalid(path, "no such day") from error
    return CalendarDay(year=year, month=month, day=day)


def day_text(day: CalendarDay) -> str:
    """A day as "2024-03-15"."""
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """How one kind of value is read and written, and which kind of national field holds it."""

    name: str
    read: Callable[[object, str, CodeTables], Any]
    write: Callable[[Any, str, CodeTables], object]
    # Descriptor type of the national field: a FieldDescriptor.CPPTYPE_ number, or the full name of a message.
    holds: frozenset[int] | str
    # Whether an absent national value has a local form of its own, which `write` makes of None.
    writes_absent: bool = False
    # Code table that it reads and writes by, if any.
    table: str = ""


_INTEGERS: Final = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64})
_STRINGS: Final = frozenset({FieldDescriptor.CPPTYPE_STRING})
_BOOLS: Final = frozenset({FieldDescriptor.CPPTYPE_BOOL})


def _number(
    name: str,
    read: Callable[[object, str], int | None],
    write: Callable[[Any], Decimal],
    *,
    as_text: bool,
    writes_absent: bool = False,
) -> Codec:
    def write_value(value: int | None, path: str, tables: CodeTables) -> object:
        number = write(value)
        return format(number, "f") if as_text else number

    return Codec(
        name=name,
        read=lambda value, path, tables: read(value, path),
        write=write_value,
        holds=_INTEGERS,
        writes_absent=writes_absent,
    )


TEXT: Final = Codec(
    name="text",
    read=lambda value, path, tables: text_from(value, path),
    write=lambda value, path, tables: value,
    holds=_STRINGS,
)
DAY: Final = Codec(
    name="day",
    read=lambda value, path, tables: day_from(value, path),
    write=lambda value, path, tables: day_text(value),
    holds=CalendarDay.DESCRIPTOR.full_name,
)
# Compact days, "20240315", of the XML dialects.
DAY_COMPACT: Final = Codec(
    name="day_compact",
    read=lambda value, path, tables: day_from(value, path),
    write=lambda value, path, tables: day_text(value).replace("-", ""),
    holds=CalendarDay.DESCRIPTOR.full_name,
)
YUAN: Final = _number("yuan", amounts.fen_from_yuan, amounts.yuan_from_fen, as_text=False)
YUAN_TEXT: Final = _number("yuan_text", amounts.fen_from_yuan, amounts.yuan_from_fen, as_text=True)
PRICE: Final = _number("price", amounts.price_e6_from_yuan, amounts.yuan_from_price_e6, as_text=False)
PRICE_TEXT: Final = _number("price_text", amounts.price_e6_from_yuan, amounts.yuan_from_price_e6, as_text=True)
RATIO: Final = _number("ratio", amounts.e4_from_number, amounts.number_from_e4, as_text=False)
RATIO_TEXT: Final = _number("ratio_text", amounts.e4_from_number, amounts.number_from_e4, as_text=True)
# Reads None for the sentinel, so the optional national field stays absent; an absent field is written as the sentinel.
PRICE_LIMIT: Final = _number(
    "price_limit", amounts.limit_e6_from_yuan, amounts.yuan_from_limit_e6, as_text=False, writes_absent=True
)
PRICE_LIMIT_TEXT: Final = _number(
    "price_limit_text", amounts.limit_e6_from_yuan, amounts.yuan_from_limit_e6, as_text=True, writes_absent=True
)


def _count_from(value: object, path: str, tables: CodeTables) -> int:
    number = amounts.decimal_from(value, path)
    if number != number.to_integral_value() or abs(number) > 2**31 - 1:
        raise _form_invalid(path, "not a whole number")
    return int(number)


COUNT: Final = Codec(name="count", read=_count_from, write=lambda value, path, tables: int(value), holds=_INTEGERS)


def _flag_from(value: object, path: str, tables: CodeTables) -> bool:
    text = text_from(value, path).strip()
    if text not in {"0", "1"}:
        raise _form_invalid(path, "a flag is 0 or 1")
    return text == "1"


FLAG: Final = Codec(name="flag", read=_flag_from, write=lambda value, path, tables: "1" if value else "0", holds=_BOOLS)


def code(table: str) -> Codec:
    """A code by the table of this name."""

    def read(value: object, path: str, tables: CodeTables) -> CodedValue:
        return tables[table].to_national(text_from(value, path).strip(), path)

    def write(value: CodedValue, path: str, tables: CodeTables) -> object:
        return tables[table].to_local(value, path)

    return Codec(name=f"code({table})", read=read, write=write, holds=CodedValue.DESCRIPTOR.full_name, table=table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One field. `local` is written; `aliases` are read too, where `local` is absent (names differ between trades)."""

    local: str
    national: str
    codec: Codec
    aliases: tuple[str, ...] = ()
    # A required field that is absent is an error in both directions; any other stays absent.
    is_required: bool = False
    # What is written for an absent national value.
    absent_as: object = None


class FieldMap:
    """Rules between local objects and one national message class."""

    def __init__(self, message_class: type[Message], rules: Sequence[Rule]) -> None:
        self.message_class = message_class
        self.rules = tuple(rules)
        names: set[str] = set()
        paths: set[str] = set()
        for rule in self.rules:
            for name in (rule.local, *rule.aliases):
                if name in names:
                    raise ValueError(f"local field {name} stands twice in the map of {message_class.__name__}")
                names.add(name)
            if rule.national in paths:
                raise ValueError(f"national field {rule.national} stands twice in {message_class.__name__}")
            paths.add(rule.national)
            _check_kind(message_class, rule)

    def read(self, local: Mapping[str, object], message: Message, tables: CodeTables, at: str) -> None:
        """Fill `message` from a local object; `at` names the object in errors.

        Raises LOCAL_FORM_INVALID for a missing or malformed value, UNMAPPED_CODE for a code in no table.
        """
        for rule in self.rules:
            name = rule.local
            if is_absent(local.get(name)):
                named = next((alias for alias in rule.aliases if not is_absent(local.get(alias))), None)
                if named is None:
                    if rule.is_required:
                        raise _form_invalid(f"{at}.{name}", "missing")
                    continue
                name = named
            value = rule.codec.read(local[name], f"{at}.{name}", tables)
            if value is not None:
                _set(message, rule.national, value, f"{at}.{name}")

    def write(self, message: Message, tables: CodeTables, at: str) -> dict[str, object]:
        """The local object of a national message. Raises LOCAL_FORM_INVALID for a missing field, UNMAPPED_CODE."""
        local: dict[str, object] = {}
        for rule in self.rules:
            path = f"{at}.{rule.local}"
            value = _get(message, rule.national)
            if value is None and rule.codec.writes_absent:
                local[rule.local] = rule.codec.write(None, path, tables)
            elif value is None:
                if rule.is_required:
                    raise _form_invalid(path, "missing")
                local[rule.local] = rule.absent_as
            else:
                local[rule.local] = rule.codec.write(value, path, tables)
        return local


def _field(descriptor: Descriptor, path: str) -> FieldDescriptor:
    *parents, last = path.split(".")
    for parent in parents:
        inner = descriptor.fields_by_name[parent].message_type
        if inner is None:
            raise ValueError(f"{descriptor.name}.{parent} is no message")
        descriptor = inner
    return descriptor.fields_by_name[last]


def _check_kind(message_class: type[Message], rule: Rule) -> None:
    descriptor = cast(Descriptor, message_class.DESCRIPTOR)
    try:
        field = _field(descriptor, rule.national)
    except KeyError as error:
        raise ValueError(f"{descriptor.name} has no field {rule.national}") from error
    kind = field.message_type.full_name if field.message_type is not None else field.cpp_type
    fits = kind == rule.codec.holds if isinstance(rule.codec.holds, str) else kind in rule.codec.holds
    if field.is_repeated or not fits:
        raise ValueError(f"{descriptor.name}.{rule.national} does not hold a {rule.codec.name}")


def _set(message: Message, path: str, value: Any, at: str) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        message = getattr(message, parent)
    if isinstance(value, Message):
        getattr(message, last).CopyFrom(value)
        return
    try:
        setattr(message, last, value)
    except ValueError as error:  # an int32 field and a larger number
        raise _form_invalid(at, "the number is too large") from error


def _get(message: Message, path: str) -> Any:
    """The value, or None where a message or an optional scalar on the way is not set, or a text is empty."""
    for name in path.split("."):
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.has_presence and not message.HasField(name):
            return None
        value = getattr(message, name)
        message = value
    return None if value == "" else value
