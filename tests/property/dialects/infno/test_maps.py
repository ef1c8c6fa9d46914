"""Every field map of the dialect survives the way through JSON, whichever way a client writes its numbers."""

import datetime
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from onecard.exchange.v1.values_pb2 import CalendarDay
from onecard_adapters.dialects.infno import json_text, maps
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.mapping.fields import FieldMap, Rule
from tests.support.infno_country import CODE_TABLES

_TABLES = CodeTables.load(CODE_TABLES)
_MAPS = {name: value for name, value in vars(maps).items() if isinstance(value, FieldMap)}
_INT32_MAX = 2**31 - 1


def _value(rule: Rule, *, is_int32: bool) -> st.SearchStrategy[Any]:
    largest = _INT32_MAX if is_int32 else 10**14
    kind = rule.codec.name
    if kind.startswith("code("):
        table = _TABLES[kind.removeprefix("code(").removesuffix(")")]
        return st.sampled_from(sorted(table.by_national)).map(table.coded)
    if kind == "day":
        days = st.dates(datetime.date(1900, 1, 1), datetime.date(2120, 12, 31))
        return days.map(lambda day: CalendarDay(year=day.year, month=day.month, day=day.day))
    if kind == "flag":
        return st.booleans()
    if kind == "price_limit":
        return st.integers(0, 999_998_999_999)
    if kind == "text":
        # Surrounding blanks and the word null mean something else at the edge.
        texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)
        return texts.filter(lambda text: text != "null")
    return st.integers(-largest, largest)


@st.composite
def _messages(draw: st.DrawFn, field_map: FieldMap) -> Message:
    message = field_map.message_class()
    for rule in field_map.rules:
        holder: Any = message
        *parents, last = rule.national.split(".")
        field = None
        for name in (*parents, last):
            field = holder.DESCRIPTOR.fields_by_name[name]
            if name != last or field is None:
                holder = getattr(holder, name)
        assert field is not None
        if not rule.is_required and draw(st.booleans()):
            continue
        value = draw(_value(rule, is_int32=field.cpp_type == field.CPPTYPE_INT32))
        if isinstance(value, Message):
            getattr(holder, last).CopyFrom(value)
        else:
            setattr(holder, last, value)
    return message


def _read(field_map: FieldMap, local: Mapping[str, object]) -> Message:
    message = field_map.message_class()
    field_map.read(local, message, _TABLES, "node")
    return message


def _without_unset_parents(message: Message) -> bytes:
    """Equal for messages that differ only in empty inner messages, which carry nothing."""
    return message.SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", sorted(_MAPS))
@settings(max_examples=25)
@given(data=st.data())
def test_what_is_written_is_read_again(name: str, data: st.DataObject) -> None:
    field_map = _MAPS[name]
    message = data.draw(_messages(field_map))
    local = json_text.parse_object(json_text.write(field_map.write(message, _TABLES, "node")).encode())
    # A field without presence that is zero is written, and read as zero: the same message.
    assert _without_unset_parents(_read(field_map, local)) == _without_unset_parents(message)


@pytest.mark.parametrize("name", sorted(_MAPS))
@settings(max_examples=25)
@given(data=st.data())
def test_numbers_in_quotes_mean_the_same(name: str, data: st.DataObject) -> None:
    field_map = _MAPS[name]
    local = field_map.write(data.draw(_messages(field_map)), _TABLES, "node")
    quoted = {key: format(value, "f") if isinstance(value, Decimal) else value for key, value in local.items()}
    assert _read(field_map, quoted) == _read(field_map, local)


@pytest.mark.parametrize("name", sorted(_MAPS))
def test_every_alias_reads_what_its_name_reads(name: str) -> None:
    field_map = _MAPS[name]
    for rule in field_map.rules:
        for alias in rule.aliases:
            required = {r.local: "1" for r in field_map.rules if r.is_required and r is not rule}
            required = {key: "310" if "insutype" in key else value for key, value in required.items()}
            if any(r.codec.name == "day" and r.is_required for r in field_map.rules):
                required.update({r.local: "2024-03-15" for r in field_map.rules if r.codec.name == "day"})
            assert _read(field_map, {**required, alias: "1"}) == _read(field_map, {**required, rule.local: "1"})
