"""What the table of trades says of each trade's documents is what they carry in real calls, and no more."""

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from onecard_adapters.dialects.cross_region_xml import care, forms
from onecard_adapters.dialects.cross_region_xml.care import TradeHandler
from onecard_adapters.dialects.cross_region_xml.care_desk import Asked
from onecard_adapters.dialects.cross_region_xml.core import ProvincialCore
from onecard_adapters.dialects.cross_region_xml.envelope import Result
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element, parent
from onecard_adapters.dialects.cross_region_xml.trades import ELEMENTS, HEAD, TRADES, Part, Rows, TradeNumber
from onecard_adapters.mapping.fields import FieldMap
from tests.support.sichuan import Stay, sichuan
from tests.support.sichuan_care import BILL_FEN, line, sichuan_care

Heard = dict[tuple[str, str], set[str]]
"""Names met in the requests and in the answers of each trade; those in rows behind the name of the list."""

_LINES: Final = {f"detail/{rule.local}" for rule in forms.FEE_LINE.rules}
# The own core answers a line as it was sent, with its parts; the request to the insured province has the whole map.
_LINES_AS_SENT: Final = {("0301", "answer"), ("0707", "answer")}
# What the samples carry besides, and the stubs with them.
_READ_PAST: Final = {"akc023", "akc200", "aka105", "aae140", "ykc675", "yzz021"}


def note(heard: Heard, trade: str, document: str, element: Element) -> None:
    """Add the names of a document."""
    for child in element.children:
        rows = [cell.name for row in child.children for cell in row.children]
        heard[trade, document] |= {f"{child.name}/{name}" for name in rows} or {child.name}


def named(part: Part) -> set[str]:
    """The names that a part of a document stands for."""
    if isinstance(part, Rows):
        return {f"{part.name}/{name}" for name in named(part.of)}
    return {rule.local for rule in part.rules} if isinstance(part, FieldMap) else {part}


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    """What the adapter is asked and answers, and what it asks and is answered, from here on."""
    names: Heard = defaultdict(set)
    ask, answer = ProvincialCore.ask, care._answer

    async def heard_ask(self: ProvincialCore, trade: str, children: list[Element], *, has_effect: bool) -> Result:
        note(names, trade, "request", parent("input", children))
        result = await ask(self, trade, children, has_effect=has_effect)
        note(names, trade, "answer", result.output)
        return result

    async def heard_answer(handler: TradeHandler, asked: Asked) -> Result:
        note(names, asked.trade, "request", asked.input)
        result = await answer(handler, asked)
        note(names, asked.trade, "answer", result.output)
        return result

    monkeypatch.setattr(ProvincialCore, "ask", heard_ask)
    monkeypatch.setattr(care, "_answer", heard_answer)
    return names


async def test_each_trade_carries_what_the_table_says(tmp_path: Path, heard: Heard) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        asked = stay.head() | {"aac001": stay.person.personal_number, "aab299": "510100"}
        filing = asked | {"aae140": "310", "ykc902": "02", "aae030": "20240101"}
        filed = await stay.hospital.send("0221", filing)
        await stay.hospital.send("0222", asked | {"ykc901": filed.value("ykc901"), "aae013": "示例"})
        own = next(person for person in side.own_core.state.population if person.active_enrolments)
        await side.own_core.file_outwards(
            {
                "identity_number": own.identity_number,
                "destination_area": "440100",
                "filing_type": "02",
                "insurance_kind": own.active_enrolments[0].insurance_kind,
                "first_day": "20240101",
            }
        )
        await stay.identify(aae140="310")
        await stay.lines()
        await stay.upload([line(4, "1.00")])
        await stay.withdraw(line_ids=["99004"])
        await stay.hospital.send("0706", stay._visit(), "")
        diagnosis = {"yzy201": "1", "yzy202": "1", "akc185": "高血压", "akc196": "I10.x00"}
        await stay.hospital.send("0214", stay._visit() | {"akc194": "20240312", "akc195": "1", "detail": [diagnosis]})
        shortest = await stay.hospital.send("0303", stay._visit() | {"akc264": f"{Decimal(BILL_FEN) / 100:.2f}"})
        assert shortest.is_success, shortest.message
        settled = await stay.settle(BILL_FEN)
        await stay.query(settled.transid)
        cancelled = await stay.cancel()
        await stay.query(cancelled.transid)
        await stay.reverse(cancelled.transid)
    async with sichuan(tmp_path / "insured") as insured:
        at_core = Stay(insured, insured.person)
        await at_core.until_discharge()
        await at_core.withdraw_lines("99001")

    for number, trade in TRADES.items():
        for document, parts in (("request", trade.request), ("answer", trade.answer)):
            said = set().union(*(named(part) for part in parts))
            met = heard[number, document]
            if (number, document) in _LINES_AS_SENT:
                assert met & _LINES
                said -= _LINES - met
            lists = {part.name for part in parts if isinstance(part, Rows)}
            beside = lists | (_READ_PAST | set(HEAD) if document == "request" else _READ_PAST)
            assert met - (beside - said) == said, f"{document} of {number}"
    assert heard[TradeNumber.REGISTER, "request"] >= set(HEAD)


def test_every_element_beside_the_maps_has_a_meaning_and_is_used() -> None:
    parts = [part for trade in TRADES.values() for part in (*trade.request, *trade.answer)]
    inside = [part.of if isinstance(part, Rows) else part for part in parts]
    assert {part for part in inside if isinstance(part, str)} | set(HEAD) == set(ELEMENTS)


def test_every_map_is_carried_by_a_trade() -> None:
    parts = [part for trade in TRADES.values() for part in (*trade.request, *trade.answer)]
    carried = [part.of if isinstance(part, Rows) else part for part in parts]
    assert all(item in carried for item in vars(forms).values() if isinstance(item, FieldMap))
