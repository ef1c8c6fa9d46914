"""Whole flows through the dialect on both ends: a hospital's own messages in, the insured province's split out."""

from decimal import Decimal

from onecard_stubs.guangdong.counter import FeeItem
from tests.support.infno_country import ADMITTED, ITEMS, TODAY, Country

pytest_plugins = ("tests.support.infno_country_of_two",)


def _check_identities(info: dict[str, Decimal]) -> None:
    assert info["medfee_sumamt"] == info["fund_pay_sumamt"] + info["psn_part_amt"] + info["hosp_part_amt"]
    assert info["psn_part_amt"] == info["acct_pay"] + info["psn_cash_pay"]
    assert info["medfee_sumamt"] == sum(
        info[name] for name in ("fulamt_ownpay_amt", "overlmt_selfpay", "preselfpay_amt", "inscp_scp_amt")
    )


async def test_a_stay_is_settled_in_one_go_and_the_split_adds_up(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.admitted()
    assert stay.visit_id.startswith("S440300")
    uploaded = await hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    assert uploaded.is_success, uploaded.text
    assert {row["chrgitm_lv"] for row in uploaded.output["result"]} == {"01", "02", "03"}
    pre = await hospital.pre_settle(stay)
    assert pre.is_success, pre.text
    assert pre.output["setlinfo"]["setl_id"] is None
    assert (await hospital.discharge(stay, day=TODAY)).output == {}
    settled = await hospital.settle(stay)
    assert settled.is_success, settled.text
    info = settled.output["setlinfo"]
    _check_identities(info)
    assert info["setl_id"]
    assert info["fund_pay_sumamt"] > 0
    assert info["acct_pay"] > 0
    for name in ("fund_pay_sumamt", "psn_part_amt", "acct_pay", "psn_cash_pay", "medfee_sumamt"):
        assert pre.output["setlinfo"][name] == info[name]
    assert (info["psn_name"], info["certno"]) == (stay.person.name, stay.person.identity_number)
    assert two_provinces.exchange.methods_called() == [
        *("QueryCoverage", "QueryCoverage", "Register", "UploadFeeLines", "PreSettle", "Discharge", "Settle")
    ]


async def test_a_visit_of_an_outpatient_is_settled_by_its_own_trades(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    person, enrolment = two_provinces.employee()
    two_provinces.file(person, enrolment)
    await hospital.sign_in()
    await hospital.identify(person, insurance_area=enrolment.insurance_area)
    answer, visit = await hospital.register(
        person, insurance_area=enrolment.insurance_area, insurance_kind="310", number="MZ990001", day=TODAY
    )
    assert answer.output["data"] == {
        "psn_no": person.personal_number,
        "mdtrt_id": visit.visit_id,
        "exp_content": None,
        "ipt_otp_no": "MZ990001",
    }
    assert (await hospital.upload_fees(visit, ITEMS[2:4], day=TODAY)).is_success
    assert (await hospital.withdraw_all_fees(visit)).is_success
    assert (await hospital.upload_fees(visit, ITEMS[3:], day=TODAY)).is_success
    assert (await hospital.pre_settle(visit)).is_success
    settled = await hospital.settle(visit)
    assert settled.is_success, settled.text
    _check_identities(settled.output["setlinfo"])
    assert two_provinces.insured_core.requests[-2:] == ["2206", "2207"]
    red = await hospital.cancel(visit, settled.output["setlinfo"]["setl_id"])
    assert red.is_success, red.text
    assert two_provinces.insured_core.requests[-1] == "2208"


async def test_return_lines_count_as_the_negation_of_what_they_take_back(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.admitted()
    assert (await hospital.upload_fees(stay, ITEMS, day=ADMITTED)).is_success
    before = stay.totals
    line_id, item = list(stay.lines.items())[1]
    back = FeeItem(code=item.code, name=item.name, quantity=-item.quantity, price=item.price, returns=line_id)
    assert (await hospital.upload_fees(stay, [back], day=ADMITTED)).is_success
    assert stay.totals[0] == before[0] - item.amount_fen
    pre = await hospital.pre_settle(stay)
    assert pre.is_success, pre.text
    _check_identities(pre.output["setlinfo"])


async def test_a_cancellation_is_a_red_record_with_empty_parts(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    settled = (await hospital.settle(stay)).output["setlinfo"]
    red = await hospital.cancel(stay, settled["setl_id"])
    assert red.is_success, red.text
    info = red.output["setlinfo"]
    assert info["medfee_sumamt"] == -settled["medfee_sumamt"]
    assert info["fund_pay_sumamt"] == -settled["fund_pay_sumamt"]
    assert (info["psn_part_amt"], info["hosp_part_amt"]) == (None, None)
    assert info["init_setl_id"] == settled["setl_id"]
    again = await hospital.settle(stay)
    assert again.is_success, "a cancelled stay may be settled again"


async def test_a_reversal_frees_the_stay_and_a_second_one_answers_the_same(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    msgid = hospital.new_msgid()
    assert (await hospital.settle(stay, msgid=msgid)).is_success
    first = await hospital.reverse(stay, msgid, "2304")
    second = await hospital.reverse(stay, msgid, "2304")
    assert first.is_success, first.text
    assert first.output == second.output == {"result": {"omsgid": msgid, "reversal_result": "REVERSED"}}
    assert two_provinces.insured_core.requests.count("2601") == 1
    assert (await hospital.settle(stay)).is_success


async def test_a_reversed_cancellation_leaves_the_settlement_standing(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    settled = (await hospital.settle(stay)).output["setlinfo"]
    msgid = hospital.new_msgid()
    assert (await hospital.cancel(stay, settled["setl_id"], msgid=msgid)).is_success
    answer = await hospital.reverse(stay, msgid, "2305")
    assert answer.is_success, answer.text
    queried = await hospital.query(stay, settled["setl_id"])
    assert queried.is_success, queried.text
    assert queried.output["setlinfo"]["vali_flag"] == "1"


async def test_a_query_answers_in_its_own_names(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    msgid = hospital.new_msgid()
    settled = (await hospital.settle(stay, msgid=msgid)).output["setlinfo"]
    for settlement_id in (settled["setl_id"], ""):
        queried = await hospital.query(stay, settlement_id)
        assert queried.is_success, queried.text
        info = queried.output["setlinfo"]
        assert info["psn_pay"] == settled["psn_part_amt"]
        assert info["cash_payamt"] == settled["psn_cash_pay"]
        assert (info["setl_id"], info["medins_setl_id"]) == (settled["setl_id"], msgid)
        assert "psn_part_amt" not in info
        assert (info["refd_setl_flag"], info["vali_flag"]) == ("0", "1")
