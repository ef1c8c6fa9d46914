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
_BLANKS_AND_DASH: Final = re.compile(r"\s*-\s*")


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
    match = _DAY.match(text if len(text.split(None, 1)) == 1 else _BLANKS_AND_DASH.sub("-", text))
    if match is None:
        raise _form_invalid(path, "not a day")
    year, month, day = map(int, filter(None, match.groups()))
    try:
        datetime.date(year, month, day)
    except ValueError as error:
        raise _form_invalid(path, "no such day") from error
    return CalendarDay(year=year, month=month, day=day)


def day_text(day: CalendarDay) -> str:
    """A day as "2024-03-15"."""
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}"


_Read = Callable[[object, str, CodeTables], Any]
_Write = Callable[[Any, str, CodeTables], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """How one kind of value is read and written, and which kind of national field holds it."""

    name: str
    read: _Read
    write: _Write
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
    return Codec(
        name=name,
        read=lambda value, path, tables: read(value, path),
        # str writes an exponent only below 10^-6, and no number here has more than 6 decimals.
        write=(lambda value, path, tables: str(write(value))) if as_text else lambda value, path, tables: write(value),
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
    if type(value) is str and len(value) < 10 and value.isdecimal():
        return int(value)  # as it is nearly always written, and never too large
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
        return tables[table].local_entry(text_from(value, path).strip(), path).coded

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
        # Paths and descriptors are looked up once: reading and writing are the adapters' busiest code. A holder is a
        # message that has fields of rules: the field of an earlier one, told by that one's place; place 0 is the root.
        self._holders: list[tuple[int, str]] = []
        self._reads: list[tuple[str, tuple[str, ...], bool, _Read, int, str, bool]] = []
        self._writes: list[tuple[str, Rule, _Write, int, str, bool, bool]] = []
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
            field = _checked_field(message_class, rule)
            *parents, name = rule.national.split(".")
            holder, is_message = self._holder(parents), field.message_type is not None
            self._reads.append((rule.local, rule.aliases, rule.is_required, rule.codec.read, holder, name, is_message))
            is_text = field.type == FieldDescriptor.TYPE_STRING
            self._writes.append((rule.local, rule, rule.codec.write, holder, name, field.has_presence, is_text))

    def read(self, local: Mapping[str, object], message: Message, tables: CodeTables, at: str) -> None:
        """Fill `message` from a local object; `at` names the object in errors.

        Raises LOCAL_FORM_INVALID for a missing or malformed value, UNMAPPED_CODE for a code in no table.
        """
        prefix = f"{at}."
        holders = [message]
        for index, name in self._holders:
            holders.append(getattr(holders[index], name))
        for local_name, aliases, is_required, read, index, name, is_message in self._reads:
            value = local.get(local_name)
            if value is None or is_absent(value):
                for alias in aliases:
                    value = local.get(alias)
                    if not is_absent(value):
                        local_name = alias
                        break
                else:
                    if is_required:
                        raise _form_invalid(prefix + local_name, "missing")
                    continue
            path = prefix + local_name
            value = read(value, path, tables)
            if value is None:
                continue
            if is_message:
                getattr(holders[index], name).CopyFrom(value)
                continue
            try:
                setattr(holders[index], name, value)
            except ValueError as error:  # an int32 field and a larger number
                raise _form_invalid(path, "the number is too large") from error

    def write(self, message: Message, tables: CodeTables, at: str) -> dict[str, object]:
        """The local object of a national message. Raises LOCAL_FORM_INVALID for a missing field, UNMAPPED_CODE."""
        prefix = f"{at}."
        holders: list[Message | None] = [message]
        for index, name in self._holders:
            holder = holders[index]
            holders.append(getattr(holder, name) if holder is not None and holder.HasField(name) else None)
        local: dict[str, object] = {}
        for local_name, rule, write, index, name, has_presence, is_text in self._writes:
            holder = holders[index]
            if holder is None or (has_presence and not holder.HasField(name)):
                value = None
            else:
                value = getattr(holder, name)
                if is_text and not value:
                    value = None
            if value is not None or rule.codec.writes_absent:
                local[local_name] = write(value, prefix + local_name, tables)
            elif rule.is_required:
                raise _form_invalid(prefix + local_name, "missing")
            else:
                local[local_name] = rule.absent_as
        return local

    def _holder(self, parents: Sequence[str]) -> int:
        """The place of the message that these fields lead to; 0 is the message itself."""
        if not parents:
            return 0
        step = (self._holder(parents[:-1]), parents[-1])
        if step not in self._holders:
            self._holders.append(step)
        return self._holders.index(step) + 1


def _field(descriptor: Descriptor, path: str) -> FieldDescriptor:
    *parents, last = path.split(".")
    for parent in parents:
        inner = descriptor.fields_by_name[parent].message_type
        if inner is None:
            raise ValueError(f"{descriptor.name}.{parent} is no message")
        descriptor = inner
    return descriptor.fields_by_name[last]


def _checked_field(message_class: type[Message], rule: Rule) -> FieldDescriptor:
    descriptor = cast(Descriptor, message_class.DESCRIPTOR)
    try:
        field = _field(descriptor, rule.national)
    except KeyError as error:
        raise ValueError(f"{descriptor.name} has no field {rule.national}") from error
    kind = field.message_type.full_name if field.message_type is not None else field.cpp_type
    fits = kind == rule.codec.holds if isinstance(rule.codec.holds, str) else kind in rule.codec.holds
    if field.is_repeated or not fits:
        raise ValueError(f"{descriptor.name}.{rule.national} does not hold a {rule.codec.name}")
    return field
