"""What is returned in pieces is taken back to the fen, however each piece was rounded at the place of care."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard_stubs.fee_lines import FeeLine, fees_of
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.population import Population
from onecard_stubs.sichuan import soap
from onecard_stubs.sichuan.core import SichuanCore
from onecard_stubs.sichuan.trades import TRADES

_PRICE = Decimal("0.05")
_PIECES = st.lists(st.integers(1, 9), min_size=1, max_size=6)
Upload = Callable[[Sequence[tuple[str, int, str]]], Mapping[str, FeeLine]]
"""Uploads lines (number, quantity, the line that is returned) and gives those that the visit holds."""


def _guangdong() -> Upload:
    """A line of 乙, of which the patient pays a part first."""
    core, numbers = GuangdongCore(Population("440000", count=1)), itertools.count(1)

    def send(infno: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
        head = {"insuplc_admdvs": "510100", "mdtrtarea_admvs": "440300", "fixmedins_code": "H44030099903"}
        answer = core.answer({"infno": infno, "msgid": f"M{next(numbers)}", **head, "input": content})
        assert answer["infcode"] == 0, answer["err_msg"]
        return answer["output"]  # type: ignore[no-any-return]

    info = {"psn_no": "P", "insutype": "310", "begntime": "2025-03-01", "med_type": "21", "ipt_no": "Z"}
    visit_id = send("2401", {"mdtrtinfo": info})["result"]["mdtrt_id"]

    def upload(lines: Sequence[tuple[str, int, str]]) -> Mapping[str, FeeLine]:
        rows = [
            {
                "feedetl_sn": line_id,
                "init_feedetl_sn": returns,
                "mdtrt_id": visit_id,
                "psn_no": "P",
                "med_list_codg": "XB01AAA000A001010000000",
                "cnt": quantity,
                "pric": _PRICE,
                "det_item_fee_sumamt": quantity * _PRICE,
            }
            for line_id, quantity, returns in lines
        ]
        told = send("2301", {"feedetail": rows})["result"]
        held = core.visits.find(visit_id, "P").lines
        for row in told:
            assert row["preselfpay_amt"] == Decimal(held[row["feedetl_sn"]].preceding_fen).scaleb(-2)
        return held

    return upload


def _sichuan() -> Upload:
    """The same."""
    state, numbers = SichuanCore(Population("510000", count=1)).state, itertools.count(1)

    def send(trade: str, fields: soap.Fields) -> soap.Fields:
        message = soap.read(soap.write_call(soap.TEXT_OPERATION, trade, {"aac044": "P", **fields}))
        return TRADES[trade](state, message, f"T{next(numbers)}")

    place = {"aab301": "440100", "aab299": "510100", "aka130": "21", "aae140": "310", "aae030": "20250301"}
    visit_id = str(send("0212", place)["ykc700"])

    def upload(lines: Sequence[tuple[str, int, str]]) -> Mapping[str, FeeLine]:
        rows = [
            {
                "ykc610": line_id,
                "ykc611": returns,
                "ake001": "XJ01DDT097B001010100002",
                "akc226": str(quantity),
                "akc225": str(_PRICE),
                "akc227": str(quantity * _PRICE),
            }
            for line_id, quantity, returns in lines
        ]
        send("0301", {"ykc700": visit_id, "detail": rows})
        return state.visits[visit_id].lines

    return upload


@pytest.mark.parametrize("place_of_care", [_guangdong, _sichuan])
@given(_PIECES, st.booleans())
def test_a_line_returned_in_pieces_leaves_nothing_and_no_part_below_nothing(
    place_of_care: Callable[[], Upload], pieces: list[int], is_one_call: bool
) -> None:
    upload = place_of_care()
    lines = [("A", sum(pieces), ""), *((f"R{number}", -piece, "A") for number, piece in enumerate(pieces))]
    for call in [lines] if is_one_call else [[line] for line in lines]:
        held = upload(call)
        assert all(line.is_sound for line in held.values())
    fees = fees_of(held.values())
    assert (fees.total_fen, fees.preceding_fen, fees.in_scope_fen) == (0, 0, 0)
