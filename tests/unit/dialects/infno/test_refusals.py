"""What the care role refuses: each with its own reason, in the hospital's own envelope, with nothing sent on."""

import json
from pathlib import Path
from typing import Any

import pytest

from onecard_adapters.runtime import context as runtime_context
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong.counter import Answer
from onecard_stubs.guangdong.records import Refused
from tests.support.infno_country import ADMITTED, ITEMS, TODAY, Country, country
from tests.support.personal_texts import QUOTED, QUOTING

pytest_plugins = ("tests.support.infno_country_of_two",)

REFUSED = -2


def _is_refused(answer: Answer, reason: str) -> bool:
    assert answer.text.startswith(f"[{reason}] "), answer.text
    assert len(answer.text) <= 200
    return answer.code == REFUSED


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"infno":"1101","msgid" "M1"}', "line 1 column 25"),
        (b"\xff\xfe{}", "byte 0: not UTF-8"),
        (b"", "line 1 column 1"),
        (b"[]", "not a JSON object"),
        (b"[" * 50_000, "nested too deeply"),
        (b'{"infno":"1101","msgid":"M1","input":{"data":{"a":1,"a":2}}}', "stands twice"),
        (b'{"infno":"1101","msgid":"M1","input":{"data":{"a":NaN}}}', "NaN"),
        (b'{"infno":"1101","input":{}}', "msgid: 缺失"),
        (b'{"msgid":"M1","input":{}}', "infno: 缺失"),
        (b'{"infno":"1101","msgid":"M1","input":[]}', "input: not an object"),
        (b'{"infno":"1101","msgid":"' + b"9" * 31 + b'","input":{}}', "msgid: 超过30个字符"),
        (b'{"infno":"1101","msgid":"M1","n":' + b"9" * 5_000 + b"}", "too long"),
    ],
)
async def test_bytes_that_are_no_request_are_refused_with_the_position(
    two_provinces: Country, body: bytes, said: str
) -> None:
    answer = await two_provinces.hospital.send(body)
    assert _is_refused(answer, "LOCAL_FORM_INVALID")
    assert said in answer.text


async def test_an_answer_has_every_field_of_the_envelope(two_provinces: Country) -> None:
    fields = json.loads((await two_provinces.hospital.sign_in()).body)
    assert fields["infcode"] == 0
    assert len(fields["inf_refmsgid"]) == 30
    assert fields["inf_refmsgid"].startswith("440000")
    assert len(fields["refmsg_time"]) == len(fields["respond_time"]) == 17


@pytest.mark.parametrize("amount", ["1,200.00", "1，200.00", "1 200.00", "￥1200.00"])
async def test_an_amount_in_another_form_is_refused_by_its_row_before_anybody_is_asked(
    two_provinces: Country, amount: str
) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.admitted()
    row = {
        "mdtrt_id": stay.visit_id,
        "psn_no": stay.person.personal_number,
        "fee_ocur_time": ADMITTED.isoformat(),
        "med_list_codg": ITEMS[0].code,
        "medins_list_codg": "ZL0001",
        "cnt": "20.0000",
        "pric": "60.000000",
    }
    rows = [
        {**row, "feedetl_sn": "XM9900001", "det_item_fee_sumamt": "1200.00"},
        {**row, "feedetl_sn": "XM9900002", "det_item_fee_sumamt": amount},
    ]
    refused = await hospital.trade("2301", {"feedetail": rows}, insurance_area=stay.insurance_area)
    assert _is_refused(refused, "LOCAL_FORM_INVALID")
    said = "input.feedetail[1].det_item_fee_sumamt: 不是数字（应如1234.50，不带千位分隔符）"
    assert said in refused.text, refused.text
    assert "2301" not in two_provinces.care_core.requests


async def test_a_withdrawal_that_names_a_line_and_a_batch_takes_nothing_back(two_provinces: Country) -> None:
    """It took back the whole batch, also where no line of that number was."""
    stay = await two_provinces.admitted()
    assert (await two_provinces.hospital.upload_fees(stay, ITEMS, day=ADMITTED)).is_success
    visit = {"mdtrt_id": stay.visit_id, "psn_no": stay.person.personal_number}
    (line_id, *_) = held = list(two_provinces.care_core.visits.find(*visit.values()).lines)
    for number in (line_id, "XM0", "0000"):
        data = {**visit, "feedetl_sn": number, "chrg_bchno": "PC9900001"}
        refused = await two_provinces.hospital.trade("2302", {"data": data}, insurance_area=stay.insurance_area)
        assert _is_refused(refused, "LOCAL_FORM_INVALID")
        assert "input.data: 明细流水号与收费批次号只能填写一项" in refused.text, refused.text
    absent = {**visit, "feedetl_sn": "XM0"}
    refused = await two_provinces.hospital.trade("2302", {"data": absent}, insurance_area=stay.insurance_area)
    assert "input.data: 本次就诊没有所指的明细或收费批次" in refused.text, refused.text
    assert list(two_provinces.care_core.visits.find(*visit.values()).lines) == held
    assert "WithdrawFeeLines" not in two_provinces.exchange.methods_called()


async def test_trades_that_are_not_served_are_refused_and_do_not_crash(two_provinces: Country) -> None:
    await two_provinces.hospital.sign_in()
    answer = await two_provinces.hospital.trade("5101", "", insurance_area="510100")
    assert _is_refused(answer, "UNSUPPORTED_TRADE")


async def test_an_institution_outside_the_profile_is_refused(two_provinces: Country) -> None:
    body = two_provinces.hospital.message("9001", {"signIn": {}}, insurance_area="440300")
    answer = await two_provinces.hospital.send(body.replace(b"H44030099903", b"H44030099904"))
    assert _is_refused(answer, "INSTITUTION_NOT_OPEN")


async def test_an_institution_that_is_not_open_is_refused(tmp_path: Path) -> None:
    closed = [{"code": "H44030099903", "name": "示例市第三医院", "area": "440300", "is_open": False}]
    async with country(tmp_path, care={"institutions": closed}) as running:
        assert _is_refused(await running.hospital.sign_in(), "INSTITUTION_NOT_OPEN")


async def test_trades_before_sign_in_and_after_sign_out_are_refused(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    person, enrolment = two_provinces.employee()
    assert _is_refused(await hospital.identify(person, insurance_area=enrolment.insurance_area), "SIGN_IN_REQUIRED")
    await hospital.sign_in()
    assert (await hospital.identify(person, insurance_area=enrolment.insurance_area)).is_success
    assert (await hospital.sign_out()).is_success
    assert (await hospital.sign_out()).is_success, "signing out twice is signed out"
    assert _is_refused(await hospital.identify(person, insurance_area=enrolment.insurance_area), "SIGN_IN_REQUIRED")


async def test_a_profile_may_serve_without_sign_in(tmp_path: Path) -> None:
    async with country(tmp_path, care={"requires_sign_in": False}) as running:
        person, enrolment = running.employee()
        assert (await running.hospital.identify(person, insurance_area=enrolment.insurance_area)).is_success


async def test_a_profile_may_know_only_one_failure_code(tmp_path: Path) -> None:
    async with country(tmp_path, care={"has_business_error_code": False}) as running:
        person, enrolment = running.employee()
        assert (await running.hospital.identify(person, insurance_area=enrolment.insurance_area)).code == -1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"certno": "510000199001019911", "mdtrt_cert_no": "510000199001019911"}, "IDENTITY_INVALID"),
        ({"certno": "", "mdtrt_cert_type": "03"}, "LOCAL_FORM_INVALID"),
        ({"psn_cert_type": "77"}, "UNMAPPED_CODE"),
        ({"mdtrt_cert_type": "2"}, "UNMAPPED_CODE"),
        ({"begntime": "2024-02-30"}, "LOCAL_FORM_INVALID"),
    ],
)
async def test_a_wrong_1101_is_refused_before_anything_is_sent(
    two_provinces: Country, changes: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    await two_provinces.hospital.sign_in()
    person, enrolment = two_provinces.employee()
    data = {"mdtrt_cert_type": "02", "mdtrt_cert_no": person.identity_number, "certno": person.identity_number}
    answer = await two_provinces.hospital.trade(
        "1101", {"data": {**data, **changes}}, insurance_area=enrolment.insurance_area
    )
    assert _is_refused(answer, reason)
    assert two_provinces.exchange.calls == []
    assert "5100001990" not in answer.text + caplog.text


@pytest.mark.parametrize(("area", "reason"), [("440300", "RECIPIENT_NOT_ALLOWED"), ("", "LOCAL_FORM_INVALID")])
async def test_only_people_of_other_provinces_are_asked_for(two_provinces: Country, area: str, reason: str) -> None:
    await two_provinces.hospital.sign_in()
    person, _ = two_provinces.employee()
    assert _is_refused(await two_provinces.hospital.identify(person, insurance_area=area), reason)


async def test_a_personal_number_that_nobody_identified_is_refused(two_provinces: Country) -> None:
    await two_provinces.hospital.sign_in()
    person, enrolment = two_provinces.employee()
    answer, _ = await two_provinces.hospital.admit(
        person, insurance_area=enrolment.insurance_area, insurance_kind="310", number="ZY1", day=TODAY
    )
    assert _is_refused(answer, "PERSON_NOT_IDENTIFIED")
    assert two_provinces.care_core.requests == []


async def test_a_visit_of_somebody_else_is_unknown(two_provinces: Country) -> None:
    stay = await two_provinces.admitted()
    other = next(person for person in two_provinces.insured_core.population if person is not stay.person)
    stay.person = other
    assert _is_refused(await two_provinces.hospital.upload_fees(stay, ITEMS, day=ADMITTED), "ENCOUNTER_UNKNOWN")


async def test_more_than_100_lines_are_refused(two_provinces: Country) -> None:
    stay = await two_provinces.admitted()
    answer = await two_provinces.hospital.upload_fees(stay, ITEMS[:1] * 101, day=ADMITTED)
    assert _is_refused(answer, "LOCAL_FORM_INVALID")
    assert "本次101条明细，每次限1至100条" in answer.text


async def test_an_interim_settlement_is_refused_by_name(two_provinces: Country) -> None:
    hospital = two_provinces.hospital
    stay = await two_provinces.ready_to_settle()
    days = {"mid_setl_flag": "1", "begntime": ADMITTED.isoformat(), "endtime": ADMITTED.isoformat()}
    bill = {"data": hospital.bill(stay) | days}
    for infno in ("2303", "2304"):
        answer = await hospital.trade(infno, bill, insurance_area=stay.insurance_area)
        assert _is_refused(answer, "LOCAL_FORM_INVALID")
        assert "mid_setl_flag: 本接口不办理中途结算，请于出院后结算" in answer.text
    assert (await hospital.settle(stay)).is_success, "the stay is settled as a whole"


async def test_a_bill_that_is_not_the_sum_of_the_lines_is_refused_with_both_figures(two_provinces: Country) -> None:
    stay = await two_provinces.admitted()
    await two_provinces.hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    total, full, *rest = stay.totals
    stay.totals = (total + 1, full + 1, *rest)  # type: ignore[assignment]
    answer = await two_provinces.hospital.pre_settle(stay)
    assert _is_refused(answer, "FEE_MISMATCH")
    stated, lines = (f"{fen // 100}.{fen % 100:02d}元" for fen in (total + 1, total))
    assert f"medfee_sumamt: 申报{stated}，明细合计{lines}" in answer.text
    assert "PreSettle" not in two_provinces.exchange.methods_called()


async def test_a_catalogue_answer_with_an_unknown_code_is_refused_and_taken_back(two_provinces: Country) -> None:
    stay = await two_provinces.admitted()
    two_provinces.care_core.behaviours.set("2301", Switches(wrong_code=True), calls=1)
    answer = await two_provinces.hospital.upload_fees(stay, ITEMS, day=ADMITTED)
    assert _is_refused(answer, "UNMAPPED_CODE")
    assert "chrgitm_lv" in answer.text
    assert two_provinces.care_core.requests[-2:] == ["2301", "2302"]
    assert (await two_provinces.hospital.upload_fees(stay, ITEMS, day=ADMITTED)).is_success


async def test_what_the_insured_province_says_reaches_the_cashier_without_personal_numbers(
    two_provinces: Country,
) -> None:
    stay = await two_provinces.ready_to_settle()
    assert (await two_provinces.hospital.settle(stay)).is_success
    answer = await two_provinces.hospital.settle(stay)
    assert _is_refused(answer, "REFUSED_BY_LOCAL_SYSTEM")
    assert "该次就诊已结算" in answer.text

    def quote(head: Any, content: Any) -> dict[str, Any]:
        raise Refused(QUOTING)

    two_provinces.insured_core._trades["2304"] = quote
    quoting = await two_provinces.hospital.settle(stay)
    assert _is_refused(quoting, "REFUSED_BY_LOCAL_SYSTEM")
    assert QUOTED in quoting.text
    refusal = two_provinces.exchange.calls[-1].error
    assert isinstance(refusal, runtime_context.Refused)
    assert refusal.local_text == QUOTED, "what the rejection carries over the exchange"


async def test_a_registration_that_the_insured_province_refuses_is_undone_at_the_own_core(
    two_provinces: Country,
) -> None:
    stay = await two_provinces.admitted(number="ZY1")
    # The insured core knows this number of this hospital already, the own core does not.
    del two_provinces.care_core.visits._by_institution_number[("H44030099903", "ZY1")]
    answer, _ = await two_provinces.hospital.admit(
        stay.person, insurance_area=stay.insurance_area, insurance_kind="310", number="ZY1", day=ADMITTED
    )
    assert _is_refused(answer, "REFUSED_BY_LOCAL_SYSTEM")
    assert "住院/门诊号重复" in answer.text
    assert two_provinces.care_core.requests[-2:] == ["2401", "2404"]


@pytest.mark.parametrize(
    ("omsgid", "oinfno", "reason"),
    [("", "2304", "LOCAL_FORM_INVALID")]
    + [("H44030099903209901010000000001", infno, "REVERSAL_NOT_ALLOWED") for infno in ("2401", "2301", "9999")],
)
async def test_a_reversal_of_nothing_reversible_has_a_stable_answer(
    two_provinces: Country, omsgid: str, oinfno: str, reason: str
) -> None:
    stay = await two_provinces.admitted()
    for _ in range(2):
        assert _is_refused(await two_provinces.hospital.reverse(stay, omsgid, oinfno), reason)


async def test_a_cancellation_of_an_unknown_settlement_is_refused(two_provinces: Country) -> None:
    stay = await two_provinces.ready_to_settle()
    assert _is_refused(await two_provinces.hospital.cancel(stay, "A510100990000000001"), "SETTLEMENT_UNKNOWN")


async def test_no_log_line_of_a_whole_stay_holds_a_personal_number(
    two_provinces: Country, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    stay = await two_provinces.ready_to_settle()
    await two_provinces.hospital.settle(stay)
    await two_provinces.hospital.settle(stay)
    assert stay.person.identity_number not in caplog.text
    assert stay.person.personal_number not in caplog.text
    assert stay.person.name not in caplog.text
