"""Cards come back as they were written: strings in every order, columns in every office's codes, verbs, accounts."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.card.v1 import change_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.bank_accounts import wire as bank_wire
from onecard_adapters.dialects.card_strings import bars, verbs, wire
from onecard_adapters.dialects.card_strings.bars import CARD_INFO, DRIVER, DRIVER_WITH_CODE, CardString
from onecard_adapters.dialects.card_strings.verbs import FORMS, Request
from onecard_adapters.dialects.card_strings.wire import Answer
from onecard_adapters.dialects.tagged_text import Table
from onecard_adapters.mapping.codes import CodeTable
from onecard_protocol.errors import OneCardError
from tests.support.card_offices import CODES

_OFFICES = ["card-strings", "infno-card", "cross-region-card"]
_TABLES = {name: card_fields.load_tables(CODES / f"{name}.yaml") for name in _OFFICES}
_VALUES = st.text(st.sampled_from("刘小明0A9X ·"), max_size=10).map(str.strip)
_NUMBERS = st.text(string.digits, min_size=1, max_size=18)
_LAYOUTS = {"driver": DRIVER, "driver-with-code": DRIVER_WITH_CODE, "info": CARD_INFO}


@pytest.mark.parametrize("layout", _LAYOUTS.values(), ids=_LAYOUTS)
@given(data=st.data())
def test_a_card_string_is_read_by_the_order_that_its_number_of_values_tells(
    layout: tuple[str, ...], data: st.DataObject
) -> None:
    values = {name: data.draw(_VALUES) for name in layout if name} | {"return_code": "1"}
    text = "".join(f" {values.get(name, '')} |" for name in layout)
    assert bars.read(text) == CardString(**{name: values[name] for name in layout if name})


@given(st.text(max_size=60))
def test_any_text_is_a_card_string_or_a_clear_refusal(text: str) -> None:
    try:
        card = bars.read(text)
        detail = "card string"
    except OneCardError as error:
        card, detail = None, error.detail
    assert isinstance(card, CardString) or "card string" in detail


def _code(table: CodeTable) -> st.SearchStrategy[exchange_values_pb2.CodedValue]:
    return st.sampled_from(sorted(table.by_national)).map(table.coded)


_DAYS = st.dates().map(lambda day: exchange_values_pb2.CalendarDay(year=day.year, month=day.month, day=day.day))


@st.composite
def _changes(draw: st.DrawFn, office: str) -> change_pb2.ReportSocialChangeRequest:
    tables = _TABLES[office]
    state = draw(st.sampled_from(sorted(set(tables["social_state"].by_national) - {card_fields.NO_CARD})))
    change = change_pb2.ReportSocialChangeRequest(
        person=exchange_values_pb2.PersonIdentity(number="110000196201019924"),
        card=values_pb2.CardReference(
            issuer="cn-11",
            number=draw(st.from_regex(r"[A-K][0-9]{8}", fullmatch=True)),
            sequence=draw(st.integers(1, 99)),
        ),
        version=draw(st.integers(1, 2**40)),
        state=f"SOCIAL_STATE_{state}",
        data=values_pb2.CardData(
            recognition_code=draw(st.text(string.hexdigits, max_size=32)),
            specification_version=draw(st.sampled_from(["", "1.00", "2.00", "3.00"])),
            card_class=draw(st.sampled_from(["", "1"])),
            issue_day=draw(_DAYS),
            expiry_day=draw(st.none() | _DAYS),
            is_contactless=draw(st.booleans()),
            has_transit_mark=draw(st.booleans()),
            production_kind=draw(st.none() | _code(tables["aca017"])),
            production_way=draw(st.none() | _code(tables["aca015"])),
            bank=draw(st.sampled_from(["", *sorted(tables["bank"].by_national)])),
            bank_card_number=draw(_NUMBERS),
            residence_area="110000",
            electronic_card_id=draw(st.sampled_from(["", "E1"])),
        ),
        holder=values_pb2.HolderDetails(
            name="周小测",
            social_security_number="110000196201019924",
            sex=draw(st.none() | _code(tables["aac004"])),
            ethnicity=draw(st.none() | _code(tables["aac005"])),
            birth_day=draw(st.none() | _DAYS),
            nationality=draw(st.none() | _code(tables["aac161"])),
        ),
    )
    change.occurred_time.FromSeconds(draw(st.integers(1_000_000_000, 2_000_000_000)))
    return change


@pytest.mark.parametrize("office", _OFFICES)
@given(data=st.data())
def test_a_card_comes_back_from_the_columns_of_every_office(office: str, data: st.DataObject) -> None:
    change = data.draw(_changes(office))
    tables = _TABLES[office]
    card = card_fields.read_card(card_fields.write_social_change(change, tables), tables, "cn-11", "x")
    assert card is not None
    version = change.data.specification_version
    change.data.generation = int(version[0]) if version else 0
    assert (card.person, card.card, card.state) == (change.person, change.card, change.state)
    assert (card.data, card.holder) == (change.data, change.holder)
    assert card.occurred_ms == change.occurred_time.ToMilliseconds()


_TEXTS = st.text(st.sampled_from("刘A0社会,; "), min_size=1, max_size=8).filter(str.strip).map(str.strip)


@given(st.sampled_from(list(FORMS.values())), st.data())
def test_a_verb_comes_back_from_its_bytes(form: verbs.Form, data: st.DataObject) -> None:
    values = {name: data.draw(_TEXTS) for name in form.tags} | {"备注": data.draw(_VALUES)}
    table = Table(columns=("序号", "社保卡号"), rows=(("1", data.draw(_TEXTS)),)) if form.has_table else None
    body = wire.encode(verbs.request_text(Request(form=form, values=values, table=table), "u", "p"))
    again = verbs.read_request(wire.decode(body))
    assert (again.form, again.table) == (form, table)
    assert again.values == {**values, "操作": form.verb.value, "用户名": "u", "密码": "p"}


@given(
    st.dictionaries(st.sampled_from(["卡串", "AAZ502", "姓名"]), _VALUES),
    st.sampled_from(["OK", "00", "01", "无此卡"]),
)
def test_an_answer_comes_back_from_its_bytes(values: dict[str, str], err: str) -> None:
    assert wire.read_answer(wire.write_answer(Answer(err=err, values=values))) == Answer(err=err, values=values)


@given(
    st.from_regex(r"[A-K][0-9]{8}", fullmatch=True),
    st.integers(0, 9_999),
    st.sampled_from(["cn-45", "cn-11", "cn-66"]),
)
def test_a_card_comes_back_from_a_banks_fields(number: str, sequence: int, issuer: str) -> None:
    card = values_pb2.CardReference(issuer=issuer, number=number, sequence=sequence)
    again = bank_wire.read_card(bank_wire.write_card(card), "card")
    assert (again.issuer, again.number, again.sequence) == (issuer, number, max(sequence, 1))
