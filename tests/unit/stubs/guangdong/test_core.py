"""Guangdong's core as a local system: it splits, files, computes, keeps, and refuses in its own envelope."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong import wire
from onecard_stubs.guangdong.core import NOT_SIGNED_IN, GuangdongCore
from onecard_stubs.population import Enrolment, Person, Population

_TODAY = wire.now().date()


@pytest.fixture
async def core() -> AsyncIterator[GuangdongCore]:
    running = GuangdongCore(Population(province_area="440000", count=40))
    await running.start()
    yield running
    await running.stop()


class Client:
    """Posts trades as an adapter does."""

    def __init__(self, core: GuangdongCore, *, area: str = "440100") -> None:
        self.core = core
        self.area = area
        self.institution = "H51010099901"
        self.sign_no = ""
        self._number = 0

    async def trade(self, infno: str, content: Any, *, msgid: str = "") -> dict[str, Any]:
        self._number += 1
        message = {
            "infno": infno,
            "msgid": msgid or f"M{self._number}",
            "insuplc_admdvs": self.area,
            "mdtrtarea_admvs": "510100",
            "fixmedins_code": self.institution,
            "sign_no": self.sign_no,
            "input": content,
        }
        body = wire.write(message).encode()
        async with aiohttp.ClientSession() as session, session.post(self.core.url, data=body) as response:
            answer: dict[str, Any] = json.loads(await response.read(), parse_float=Decimal)
            return answer


def _employee(core: GuangdongCore) -> tuple[Person, Enrolment]:
    for person in core.population:
        for enrolment in person.active_enrolments:
            if enrolment.insurance_kind == "310" and enrolment.account_balance_fen > 10_000:
                return person, enrolment
    raise LookupError("no employee")


async def _billed(core: GuangdongCore) -> tuple[Client, dict[str, Any], Person]:
    """A filed stay with one classified line of 5,000.00, and the bill of it."""
    person, enrolment = _employee(core)
    core.benefits.file(
        person, insurance_area=enrolment.insurance_area, destination_area="510000", filing_type="12", first_day=_TODAY
    )
    client = Client(core, area=enrolment.insurance_area)
    info = {
        "psn_no": person.personal_number,
        "insutype": "310",
        "begntime": _TODAY.isoformat(),
        "med_type": "21",
        "ipt_no": "ZY1",
    }
    visit_id = (await client.trade("2401", {"mdtrtinfo": info}))["output"]["result"]["mdtrt_id"]
    line = {
        "feedetl_sn": "XM1",
        "mdtrt_id": visit_id,
        "psn_no": person.personal_number,
        "det_item_fee_sumamt": "5000.00",
        "fulamt_ownpay_amt": "100.00",
        "overlmt_amt": "50.00",
        "preselfpay_amt": "350.00",
        "inscp_scp_amt": "4500.00",
    }
    assert (await client.trade("2301", {"feedetail": [line]}))["infcode"] == 0
    bill = {
        "psn_no": person.personal_number,
        "mdtrt_id": visit_id,
        "medfee_sumamt": "5000.00",
        "acct_used_flag": "1",
        "setl_id": "",
    }
    return client, bill, person


def _adds_up(info: dict[str, Any], personal: str = "psn_part_amt", cash: str = "psn_cash_pay") -> bool:
    whole = info["fund_pay_sumamt"] + info[personal] + info["hosp_part_amt"]
    return bool(info["medfee_sumamt"] == whole and info[personal] == info["acct_pay"] + info[cash])


async def test_a_settlement_adds_up_takes_from_the_account_and_a_cancellation_gives_it_back(
    core: GuangdongCore,
) -> None:
    client, bill, person = await _billed(core)
    asked = {"certno": person.identity_number}
    before = (await client.trade("1101", {"data": asked}))["output"]["insuinfo"]
    settled = (await client.trade("2304", {"data": bill}))["output"]
    assert _adds_up(settled["setlinfo"])
    funds = sum(row["fund_payamt"] for row in settled["setldetail"] if row["fund_pay_type"] not in ("310200", "999996"))
    assert funds == settled["setlinfo"]["fund_pay_sumamt"]
    after = (await client.trade("1101", {"data": asked}))["output"]["insuinfo"]
    taken = sum(row["balc"] for row in before) - sum(row["balc"] for row in after)
    assert taken == settled["setlinfo"]["acct_pay"] > 0
    red = await client.trade("2305", {"data": {**bill, "setl_id": settled["setlinfo"]["setl_id"]}})
    assert red["output"]["setlinfo"]["medfee_sumamt"] == -5_000
    assert (await client.trade("1101", {"data": asked}))["output"]["insuinfo"] == before
    again = await client.trade("2305", {"data": {**bill, "setl_id": settled["setlinfo"]["setl_id"]}})
    assert (again["infcode"], again["err_msg"]) == (-1, "结算已撤销或已冲正")


async def test_the_ten_raw_names_of_a_query_differ_from_those_of_a_settlement(core: GuangdongCore) -> None:
    client, bill, _ = await _billed(core)
    nothing = await client.trade("5203", {"data": bill})
    assert nothing["output"] == {"setlinfo": []}
    await client.trade("2304", {"data": bill}, msgid="SETTLE1")
    info = (await client.trade("5203", {"data": bill}))["output"]["setlinfo"]
    assert _adds_up(info, "psn_pay", "cash_payamt")
    assert info["medins_setl_id"] == "SETTLE1"


async def test_a_reversal_is_made_once_and_answered_for_ever(core: GuangdongCore) -> None:
    client, bill, _ = await _billed(core)
    await client.trade("2304", {"data": bill}, msgid="SETTLE1")
    data = {"psn_no": bill["psn_no"], "omsgid": "SETTLE1", "oinfno": "2304"}
    for _ in range(2):
        assert (await client.trade("2601", {"data": data}))["infcode"] == 0
    rows = (await client.trade("5203", {"data": bill}))["output"]["setlinfo"]
    assert rows["vali_flag"] == "0"
    again = await client.trade("2304", {"data": bill}, msgid="SETTLE1")
    assert again["err_msg"] == "该报文号已被冲正，不得再办理"
    assert (await client.trade("2304", {"data": bill}))["infcode"] == 0, "the stay is free again"


async def test_a_reversal_of_what_never_came_is_refused_in_the_same_words_and_closes_its_number(
    core: GuangdongCore,
) -> None:
    client, bill, _ = await _billed(core)
    data = {"psn_no": bill["psn_no"], "omsgid": "SETTLE1", "oinfno": "2304"}
    for _ in range(2):
        assert (await client.trade("2601", {"data": data}))["err_msg"] == "原交易不存在"
        late = await client.trade("2304", {"data": bill}, msgid="SETTLE1")
        assert late["err_msg"] == "该报文号已被冲正，不得再办理"
    assert core.benefits.settlements == []
    assert (await client.trade("2304", {"data": bill}, msgid="SETTLE2"))["infcode"] == 0
    # Another person's is neither reversed nor closed, and what was not a settlement is not either.
    stranger = {**data, "omsgid": "SETTLE2", "psn_no": "4400990000000099"}
    assert (await client.trade("2601", {"data": stranger}))["err_msg"] == "原交易不存在"
    assert (await client.trade("2304", {"data": bill}, msgid="SETTLE2"))["infcode"] == 0
    upload = await client.trade("2601", {"data": {**data, "omsgid": "M2", "oinfno": "2301"}})
    assert upload["err_msg"] == "该类交易不可冲正"


async def test_one_hospitals_number_says_nothing_of_anothers(core: GuangdongCore) -> None:
    client, bill, _ = await _billed(core)
    assert (await client.trade("2304", {"data": bill}, msgid="SETTLE1"))["infcode"] == 0
    client.institution = "H51010099902"
    data = {"psn_no": bill["psn_no"], "omsgid": "SETTLE1", "oinfno": "2304"}
    assert (await client.trade("2601", {"data": data}))["err_msg"] == "原交易不存在"
    assert [record.is_standing for record in core.benefits.settlements] == [True]


async def test_one_msgid_is_one_trade(core: GuangdongCore) -> None:
    client, bill, _ = await _billed(core)
    first = await client.trade("2304", {"data": bill}, msgid="SETTLE1")
    again = await client.trade("2304", {"data": bill}, msgid="SETTLE1")
    assert again == first
    other = await client.trade("2304", {"data": {**bill, "invono": "1"}}, msgid="SETTLE1")
    assert other["err_msg"] == "同一报文号已用于其他内容"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"medfee_sumamt": "5000.01"}, "医疗费总额与明细不符"),
        ({"mdtrt_id": "S440100990000001"}, "就诊记录不存在"),
        ({"psn_no": "4400990000000099"}, "就诊记录不存在"),
        ({"trt_dcla_detl_sn": "B0"}, "没有有效的异地就医备案"),
    ],
)
async def test_a_bill_that_is_not_right_is_refused(core: GuangdongCore, changes: dict[str, str], text: str) -> None:
    client, bill, _ = await _billed(core)
    answer = await client.trade("2304", {"data": {**bill, **changes}})
    assert (answer["infcode"], answer["err_msg"]) == (-1, text)


async def test_lines_are_refused_that_do_not_add_up_repeat_or_return_too_much(core: GuangdongCore) -> None:
    client = Client(core, area="510100")
    info = {
        "psn_no": "5101990000000001",
        "insutype": "310",
        "begntime": _TODAY.isoformat(),
        "med_type": "21",
        "ipt_no": "ZY2",
    }
    visit_id = (await client.trade("2401", {"mdtrtinfo": info}))["output"]["result"]["mdtrt_id"]
    line = {
        "feedetl_sn": "XM1",
        "mdtrt_id": visit_id,
        "psn_no": "5101990000000001",
        "med_list_codg": "XB01AAA000A001010000000",
        "det_item_fee_sumamt": "10.00",
        "cnt": 1,
        "pric": "10.00",
    }
    answer = await client.trade("2301", {"feedetail": [line]})
    (row,) = answer["output"]["result"]
    assert (row["preselfpay_amt"], row["inscp_scp_amt"], row["chrgitm_lv"]) == (1, 9, "02")
    back = {**line, "feedetl_sn": "XM2", "init_feedetl_sn": "XM1", "det_item_fee_sumamt": "-20.00", "cnt": -2}
    for wrong, text in (
        (line, "费用明细流水号重复"),
        (back, "退费明细与原明细不符"),
        # A greater quantity would lift the limit of the price, and with it what the fund pays.
        ({**line, "feedetl_sn": "XM3", "cnt": 10}, "费用明细金额与单价数量不符"),
    ):
        assert (await client.trade("2301", {"feedetail": [wrong]}))["err_msg"] == text
    again = await client.trade("2401", {"mdtrtinfo": info})
    assert again["err_msg"] == "住院/门诊号重复"


async def test_lines_are_split_by_where_the_visit_is_insured_whatever_the_head_says(core: GuangdongCore) -> None:
    client, bill, _ = await _billed(core)
    client.area = "510100"
    line = {
        **{name: bill[name] for name in ("mdtrt_id", "psn_no")},
        "feedetl_sn": "XM2",
        "med_list_codg": "XB01AAA000A001010000000",
        "cnt": 1,
        "pric": "10.00",
        "det_item_fee_sumamt": "10.00",
        "fulamt_ownpay_amt": 0,
        "overlmt_amt": 0,
        "preselfpay_amt": "2.00",
        "inscp_scp_amt": "8.00",
    }
    assert (await client.trade("2301", {"feedetail": [line]}))["infcode"] == 0
    info = (await client.trade("2303", {"data": {**bill, "medfee_sumamt": "5010.00"}}))["output"]["setlinfo"]
    assert (info["preselfpay_amt"], info["inscp_scp_amt"]) == (352, 4508)


async def test_what_is_no_trade_is_answered_as_a_failure(core: GuangdongCore) -> None:
    client = Client(core)
    assert (await client.trade("9999", {}))["infcode"] == -1
    assert (await client.trade("2304", {}))["infcode"] == -1
    async with aiohttp.ClientSession() as session, session.post(core.url, data=b"{") as response:
        assert json.loads(await response.read())["err_msg"] == "报文不是合法的JSON"


async def test_it_misbehaves_on_request_and_behaves_again(core: GuangdongCore) -> None:
    client, bill, _ = await _billed(core)
    core.behaviours.set("2304", Switches(lose_answer=True), calls=1)
    with pytest.raises(aiohttp.ClientError):
        await client.trade("2304", {"data": bill}, msgid="SETTLE1")
    assert len(core.benefits.settlements) == 1, "it had settled before the answer was lost"
    assert (await client.trade("2304", {"data": bill}, msgid="SETTLE1"))["infcode"] == 0
    assert len(core.benefits.settlements) == 1


async def test_a_core_that_asks_for_a_sign_in_serves_only_a_valid_sign_no(core: GuangdongCore) -> None:
    client = Client(core)
    person = next(iter(core.population))
    content = {"data": {"certno": person.identity_number}}
    assert (await client.trade("1101", content))["infcode"] == 0, "told nothing, it asks for none"
    core.requires_sign_in = True
    assert (await client.trade("1101", content))["infcode"] == NOT_SIGNED_IN
    signed = await client.trade("9001", {"signIn": {"opter_no": "onecard"}})
    client.sign_no = signed["output"]["signinoutb"]["sign_no"]
    assert (await client.trade("1101", content))["infcode"] == 0
    out = {"signOut": {"opter_no": "onecard", "sign_no": client.sign_no}}
    assert (await client.trade("9002", out))["infcode"] == 0
    assert (await client.trade("9002", out))["infcode"] == -1
    assert (await client.trade("1101", content))["infcode"] == NOT_SIGNED_IN
