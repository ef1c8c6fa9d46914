"""A map does what its rules say, one after another: compared with rules followed literally, step by step."""

import datetime
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NoReturn, TypeVar

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1.values_pb2 import CalendarDay
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.cross_region_xml import forms
from onecard_adapters.dialects.infno import maps
from onecard_adapters.mapping import fields
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.mapping.fields import FieldMap, Rule
from onecard_protocol.errors import OneCardError
from tests.support.infno_country import CODE_TABLES

_T = TypeVar("_T")
_TABLES = CodeTables.load(CODE_TABLES)
_MAPS = {
    f"{module.__name__.rsplit('.', 1)[1]}.{name}": value
    for module in (maps, forms, card_fields)
    for name, value in vars(module).items()
    if isinstance(value, FieldMap)
}


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, str) and value.strip() in {"", "null"})


def _refuse(path: str, problem: str) -> NoReturn:
    raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: {problem}")


def _read(field_map: FieldMap, local: Mapping[str, object], message: Message, at: str) -> None:
    for rule in field_map.rules:
        names = [name for name in (rule.local, *rule.aliases) if not _is_absent(local.get(name))]
        if not names and rule.is_required:
            _refuse(f"{at}.{rule.local}", "missing")
        if not names:
            continue
        path = f"{at}.{names[0]}"
        value = rule.codec.read(local[names[0]], path, _TABLES)
        *parents, last = rule.national.split(".")
        holder: Any = message
        for parent in parents:
            holder = getattr(holder, parent)
        if isinstance(value, Message):
            getattr(holder, last).CopyFrom(value)
        elif value is not None:
            try:
                setattr(holder, last, value)
            except ValueError:
                _refuse(path, "the number is too large")


def _value_of(message: Message, path: str) -> Any:
    value: Any = message
    for name in path.split("."):
        if value.DESCRIPTOR.fields_by_name[name].has_presence and not value.HasField(name):
            return None
        value = getattr(value, name)
    return None if isinstance(value, str) and not value else value


def _write(field_map: FieldMap, message: Message, at: str) -> dict[str, object]:
    local: dict[str, object] = {}
    for rule in field_map.rules:
        path, value = f"{at}.{rule.local}", _value_of(message, rule.national)
        if value is not None or rule.codec.writes_absent:
            local[rule.local] = rule.codec.write(value, path, _TABLES)
        elif rule.is_required:
            _refuse(path, "missing")
        else:
            local[rule.local] = rule.absent_as
    return local


def _told(act: Callable[[], _T]) -> _T | tuple[int, str]:
    try:
        return act()
    except OneCardError as error:
        return error.reason, error.detail


def _fitting(rule: Rule) -> st.SearchStrategy[object]:
    kind = rule.codec.name
    if rule.codec.table in _TABLES:
        return st.sampled_from(sorted(_TABLES[rule.codec.table].by_local))
    if kind.startswith("day"):
        return st.sampled_from(["2024-03-15", "20240315", "2024 - 3 - 5", "2024-03-15 10:00:00"])
    if kind == "flag":
        return st.sampled_from(["0", "1", 0, 1])
    if kind == "text":
        return st.sampled_from(["X1", " X1 ", 12, Decimal("1.50")])
    return st.sampled_from([0, 1, "2", "0.3", Decimal("12.34"), "999999", " 1 "])


_ABSENT = st.sampled_from([None, "", " ", "null", " null "])
_ODD = st.sampled_from(
    ["no such", 1.5, True, [], "9999999999999999", "9" * 4_001, Decimal("1E+3"), "510000199001019910"]
)


@st.composite
def _locals(draw: st.DrawFn, field_map: FieldMap) -> dict[str, object]:
    local: dict[str, object] = {}
    # One odd value at most: the first error ends the reading, and what stands behind it is to be read too.
    odd = draw(st.none() | st.sampled_from(field_map.rules))
    for rule in field_map.rules:
        for name in (rule.local, *rule.aliases):
            values = _fitting(rule) if rule.is_required else _fitting(rule) | _ABSENT
            if rule is odd:
                local[name] = draw(_ODD | _ABSENT)
            elif rule.is_required or draw(st.booleans()):
                local[name] = draw(values)
    return local


@pytest.mark.parametrize("name", sorted(_MAPS))
@settings(max_examples=50)
@given(data=st.data())
def test_a_map_reads_and_writes_as_its_rules_say(name: str, data: st.DataObject) -> None:
    field_map = _MAPS[name]
    local = data.draw(_locals(field_map))
    message, expected = field_map.message_class(), field_map.message_class()
    assert _told(lambda: field_map.read(local, message, _TABLES, "rows[0]")) == _told(
        lambda: _read(field_map, local, expected, "rows[0]")
    )
    # Bytes tell apart what is set and empty from what is not set; what was read before an error counts too.
    assert message.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
    written = _told(lambda: field_map.write(message, _TABLES, "rows[0]"))
    assert written == _told(lambda: _write(field_map, message, "rows[0]"))
    assert not isinstance(written, dict) or list(written) == [rule.local for rule in field_map.rules]


def test_a_message_that_was_read_shares_nothing_with_the_code_tables() -> None:
    first, second = (maps.DIAGNOSIS.message_class() for _ in range(2))
    local = {"diag_type": "1", "diag_code": "K35"}
    maps.DIAGNOSIS.read(local, first, _TABLES, "node")
    table = _TABLES["diag_type"]
    for coded in (first.kind, table.to_national("1", "p"), table.coded("1")):  # type: ignore[attr-defined]
        coded.code = "changed"
    maps.DIAGNOSIS.read(local, second, _TABLES, "node")
    assert second.kind == table.to_national("1", "p") == table.coded("1")  # type: ignore[attr-defined]
    assert second.kind.code == "1"  # type: ignore[attr-defined]


_BLANKS = st.text(" \t　", max_size=2)
_DAYS = st.builds(
    "{}{}{}-{}{}{}-{}{}{}".format,
    *(_BLANKS, st.sampled_from(["2024", "0000", "1983", "983"]), _BLANKS),
    *(_BLANKS, st.sampled_from(["3", "03", "12", "13", "003"]), _BLANKS),
    *(
        _BLANKS,
        st.sampled_from(["1", "05", "30", "31", ""]),
        st.sampled_from(["", " ", " -5", "-5", " 10:00", "T1", "x"]),
    ),
) | st.from_regex(r"\s?(19|20)[0-9]{2}[01][0-9][0-3][0-9]([0-9]{6})?( ?-? ?[0-9])?", fullmatch=True)


_DAY = re.compile(r"(?:(\d{4})-(\d{1,2})-(\d{1,2})|(\d{4})(\d\d)(\d\d)(?:\d{6})?)(?=$|[ T])")


@settings(max_examples=500)
@given(_DAYS)
def test_blanks_around_dashes_mean_nothing_in_a_day_wherever_they_stand(text: str) -> None:
    expected: object = (errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, "brdy: not a day")
    if found := _DAY.match(re.sub(r"\s*-\s*", "-", text.strip())):
        year, month, day = (int(part) for part in found.groups() if part is not None)
        try:
            datetime.date(year, month, day)
            expected = CalendarDay(year=year, month=month, day=day)
        except ValueError:
            expected = (errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, "brdy: no such day")
    assert _told(lambda: fields.day_from(text, "brdy")) == expected
