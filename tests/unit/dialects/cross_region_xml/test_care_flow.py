"""The care role: a Sichuan hospital's SOAP calls through the adapter to its own core and to the insured province."""

from collections.abc import Callable
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1.values_pb2 import CodedValue
from onecard.medical.v1.coverage_pb2 import QueryCoverageRequest
from onecard.medical.v1.settlement_pb2 import SettleRequest, SettleResponse
from onecard.medical.v1.values_pb2 import SettlementSplit
from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_adapters.dialects.cross_region_xml.execution import CallContext
from onecard_adapters.dialects.cross_region_xml.insured import InsuredCoverage
from onecard_adapters.dialects.cross_region_xml.insured_settlement import InsuredSettlement
from onecard_stubs.behaviour import Switches
from onecard_stubs.sichuan.hospital import HospitalStay, SichuanHospital
from tests.support.sichuan import SETTLEMENT
from tests.support.sichuan_care import BILL, BILL_FEN, sichuan_care


@pytest.mark.parametrize("operation", Operation)
async def test_a_hospital_settles_a_stay_of_a_patient_insured_elsewhere(tmp_path: Path, operation: Operation) -> None:
    async with sichuan_care(tmp_path, operation) as side:
        stay = await side.discharged()
        trial = await stay.trial(BILL_FEN)
        settled = await stay.settle(BILL_FEN)
        assert settled.is_success, settled.message
        # 4000.00 + 810.00 in scope; 800.00 deductible; 90 % of the rest.
        assert settled.value("ykc624") == "4810.00"
        assert settled.value("akc254") == "90.00"
        assert settled.value("akc253") == "100.10"
        assert settled.value("aka151") == "800.00"
        assert settled.value("ake039") == settled.value("akb068") == "3609.00"
        assert settled.value("ykc618").startswith("A44")
        assert settled.value("ykc675") == "12"
        assert trial.value("akb068") == settled.value("akb068")
        assert not trial.value("ykc618")
        assert side.insured_core.state.counts()["settlements_standing"] == 1
        assert side.exchange.methods_called() == [
            "QueryCoverage",
            "QueryCoverage",
            "Register",
            "UploadFeeLines",
            "Discharge",
            "PreSettle",
            "Settle",
        ]


async def test_identification_answers_in_the_form_of_the_sample_with_all_enrolments_beside(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        answer = await side.stay.identify()
        person = side.person
        assert answer.value("aac003") == person.name
        assert answer.value("aac044") == person.identity_number
        assert answer.value("ykc021") == "21"
        assert len(answer.rows("detail")) == len(person.enrolments)


async def test_where_several_enrolments_are_active_none_is_chosen_until_the_request_names_one(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        person = next(item for item in side.insured_core.state.population if len(item.active_enrolments) > 1)
        stay = HospitalStay(hospital=side.hospital, person=person)
        open_answer = await stay.identify()
        assert open_answer.is_success, open_answer.message
        assert open_answer.value("aae140") == ""
        assert {row["aae140"] for row in open_answer.rows("detail")} == {"310", "390"}
        assert (await stay.identify(aae140="390")).value("aae140") == "390"


async def test_the_own_core_splits_the_lines_and_the_insured_province_gets_them_split(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        uploaded = await stay.upload(BILL)
        assert [row["aka065"] for row in uploaded.rows("detail")] == ["1", "2", "3"]
        assert uploaded.value("akc264") == "5000.10"
        request = side.exchange.calls[-1].request
        assert [item.in_scope_fen for item in request.lines] == [400_000, 81_000, 0]  # type: ignore[attr-defined]
        held = side.insured_core.state.visits[stay.visit_id]
        assert [item.preceding_fen for item in held.lines.values()] == [0, 9_000, 0]
        paged = await stay.lines(2)
        assert [row["ykc610"] for row in paged.rows("detail")] == ["99002", "99003"]


async def test_a_cancellation_is_negative_with_its_null_parts_empty(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        settled = await stay.settle(BILL_FEN)
        red = await stay.cancel()
        assert red.value("akc264") == "-5000.10"
        assert red.value("yzc001") == settled.value("ykc618")
        assert red.value("yzc002") == red.value("yzc006") == ""
        assert red.value("akb066") == f"-{settled.value('akb066')}"


async def test_a_bill_that_is_not_the_sum_of_its_lines_never_leaves_the_province(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        calls = len(side.exchange.calls)
        answer = await stay.settle(BILL_FEN + 1)
        assert "FEE_MISMATCH" in answer.message
        assert len(side.exchange.calls) == calls


async def test_an_interim_settlement_is_refused_by_name(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        bill = {**stay._bill(BILL_FEN), "ykc914": "20240301", "ykc915": "20240302"}
        for trade in ("0303", "0304"):
            answer = await stay.hospital.send(trade, bill)
            assert answer.code == -1
            assert "ykc914: 本接口不办理中途结算，请于出院后结算" in answer.message
        assert (await stay.settle(BILL_FEN)).is_success, "the stay is settled as a whole"


async def test_lines_that_the_insured_province_refuses_are_taken_back_from_the_own_core(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        side.insured_core.state.visits.clear()
        refused = await stay.upload(BILL)
        assert refused.code == -1
        assert "无此就诊登记" in refused.message
        assert not side.own_core.state.visits[stay.visit_id].lines


@pytest.mark.parametrize("trade", ["0212", "0301", "0214"])
async def test_an_answer_that_the_own_core_loses_is_found_by_its_number(tmp_path: Path, trade: str) -> None:
    async with sichuan_care(tmp_path) as side:
        side.own_core.behaviours.set(trade, Switches(lose_answer=True), calls=1)
        stay = await side.discharged()
        assert (await stay.settle(BILL_FEN)).is_success
        assert not side.own_core.behaviours.describe()


async def test_a_registration_whose_national_answer_was_lost_is_completed_by_its_repeat(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        transid = side.hospital.new_transid()
        side.exchange.lose_answers("/onecard.medical.v1.EncounterService/Register")
        assert (await stay.register(transid)).code == -9
        repeated = await stay.register(transid)
        assert repeated.is_success, repeated.message
        assert list(side.insured_core.state.visits) == [stay.visit_id]
        assert len(side.own_core.state.visits) == 1


async def test_a_person_who_was_not_identified_is_asked_for(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        answer = await side.stay.register()
        assert "PERSON_NOT_IDENTIFIED" in answer.message


async def test_a_visit_of_another_person_is_not_served(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        other = next(item for item in side.insured_core.state.population if item is not stay.person)
        foreign = HospitalStay(hospital=side.hospital, person=other, visit_id=stay.visit_id)
        answer = await foreign.settle(BILL_FEN)
        assert "ENCOUNTER_UNKNOWN" in answer.message
        assert other.identity_number not in answer.message
        # By each of the numbers that a head may name alone.
        for named in (
            {"aac044": "", "aac043": "", "aac002": other.identity_number},
            {"aac044": "", "aac043": "", "aac002": "", "aac001": other.personal_number},
        ):
            answer = await side.hospital.send("0304", {**stay._bill(BILL_FEN), **named})
            assert "ENCOUNTER_UNKNOWN" in answer.message, named
        assert side.insured_core.state.counts()["settlements_standing"] == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda split: setattr(split.items[0], "process_information", "大额𠮷"),
        lambda split: setattr(split.items[0], "process_information", "大额\x0b"),
        lambda split: split.clearing_way.CopyFrom(CodedValue(system="nhsa.clr_way", version="1", code="99")),
    ],
    ids=["no character of GBK", "no character of XML", "a code of no table"],
)
async def test_a_settlement_whose_answer_cannot_be_written_is_never_told_as_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[SettlementSplit], None]
) -> None:
    settle = InsuredSettlement.Settle

    async def spoilt(self: InsuredSettlement, request: SettleRequest, context: CallContext) -> SettleResponse:
        response = await settle(self, request, context)
        spoil(response.split)
        return response

    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        monkeypatch.setattr(InsuredSettlement, "Settle", spoilt)
        transid = side.hospital.new_transid()
        for _ in range(2):
            told = await stay.settle(BILL_FEN, transid)
            assert (told.code, told.message.startswith("[OUTCOME_UNKNOWN]")) == (-9, True), told.message
            assert "0304已执行，但其应答未能处理" in told.message
        assert side.insured_core.state.counts()["settlements_standing"] == 1


async def test_the_repeat_of_a_settlement_in_doubt_needs_nothing_of_the_own_core(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        transid = side.hospital.new_transid()
        side.exchange.lose_answers(SETTLEMENT + "Settle")
        assert (await stay.settle(BILL_FEN, transid)).code == -9
        side.own_core.behaviours.set("0706", Switches(down=True))
        again = await stay.settle(BILL_FEN, transid)
        assert again.is_success, again.message
        assert side.insured_core.state.counts()["settlements_standing"] == 1


async def test_what_another_province_says_is_told_without_what_no_document_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: InsuredCoverage, request: QueryCoverageRequest, context: CallContext) -> None:
        await context.refuse(
            errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM, local_code="-1", local_text="姓名\x00不符"
        )

    async with sichuan_care(tmp_path) as side:
        monkeypatch.setattr(InsuredCoverage, "QueryCoverage", refuse)
        told = await side.stay.identify()
        assert (told.code, "姓名不符" in told.message) == (-1, True), told.message


@pytest.mark.parametrize(
    ("code", "said"), [("H51010099902", "INSTITUTION_NOT_OPEN"), ("H51010099977", "INSTITUTION_NOT_OPEN")]
)
async def test_only_open_institutions_of_the_profile_are_served(tmp_path: Path, code: str, said: str) -> None:
    async with sichuan_care(tmp_path) as side:
        closed = SichuanHospital(side.hospital._url, code=code)
        assert said in (await HospitalStay(hospital=closed, person=side.person).identify()).message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"aab301": ""}, "input.aab301"),
        ({"aab301": "510100"}, "RECIPIENT_NOT_ALLOWED"),
        ({"aac044": "440000195901019918", "aac002": ""}, "IDENTITY_INVALID"),
        ({"aac044": "", "aac002": ""}, "input.aac044"),
        ({"aac043": "77"}, "代码表psn_cert_type（版本cross-region-xml/2024.1）"),
        ({"ake007": "yesterday"}, "input.ake007"),
        ({"akb026": "X"}, "INSTITUTION_NOT_OPEN"),
    ],
)
async def test_bad_input_is_refused_by_element_and_disturbs_nothing(
    tmp_path: Path, fields: dict[str, str], said: str
) -> None:
    async with sichuan_care(tmp_path) as side:
        refused = await side.stay.identify(**fields)
        assert refused.code == -1
        assert said in refused.message
        assert "440000195901019918" not in refused.message
        assert (await side.stay.identify()).is_success


@pytest.mark.parametrize("tag", ["ñ", "a" * 65])
@pytest.mark.parametrize("trade", ["0301", "0302", "0706"])
async def test_an_element_that_could_not_be_passed_on_is_refused_before_anybody_is_asked(
    tmp_path: Path, trade: str, tag: str
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        answers = [await stay.identify(), await stay.register()]
        rows = [{**item.fields(), tag: "x"} for item in BILL]
        calls, asked_of_core = len(side.exchange.calls), len(side.own_core.state.transactions)
        refused = await side.hospital.send(trade, {**stay._visit(), "detail": rows})
        assert refused.code == -1
        assert refused.message.startswith("[LOCAL_FORM_INVALID]"), refused.message
        assert "input.detail.row: 其中第11个元素的名称不合规定" in refused.message
        assert (len(side.exchange.calls), len(side.own_core.state.transactions)) == (calls, asked_of_core)
        answers.append(await stay.upload(BILL))
        assert all(answer.is_success for answer in answers), [answer.message for answer in answers]


async def test_an_element_of_any_name_is_read_past_where_nothing_is_passed_on(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = await side.discharged()
        bill = {**stay._bill(BILL_FEN), "备注": "x"}
        answers = [await side.hospital.send(trade, bill) for trade in ("0303", "0304")]
        answers.append(await side.hospital.send("0211", {**stay.head(), "备注": "x"}))
        assert all(answer.is_success for answer in answers), [answer.message for answer in answers]


@pytest.mark.parametrize("trade", ["0221", "0222", "0223"])
async def test_a_filing_without_a_personal_number_is_refused_by_the_element_that_lacks(
    tmp_path: Path, trade: str
) -> None:
    async with sichuan_care(tmp_path) as side:
        head = {**side.stay.head(), "aab299": "440300"} if trade == "0223" else side.stay.head()
        number = {} if trade == "0221" else {"ykc901": "B99"}
        form = {**head, **number, "ykc902": "04", "aae030": "20240301", "aae140": "310"}
        refused = await side.hospital.send(trade, form)
        assert (refused.code, "input.aac001: 缺失" in refused.message) == (-1, True), refused.message
        assert not side.exchange.calls


async def test_a_number_among_the_names_around_it_is_not_told(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        tag = f"A{side.person.identity_number}"
        stay = side.stay
        answers = [await stay.identify(), await stay.register()]
        assert all(answer.is_success for answer in answers)
        refused = await side.hospital.send("0302", {**stay._visit(), "otransid": "0", tag: [{"ñ": "x"}]})
        assert refused.message.startswith("[LOCAL_FORM_INVALID]"), refused.message
        assert side.person.identity_number not in refused.message


async def test_what_is_no_call_of_the_dialect_gets_an_answer_of_the_dialect(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        assert "LOCAL_FORM_INVALID" in (await side.hospital.send_bytes(b"<html/>")).message
        assert "UNSUPPORTED_TRADE" in (await side.hospital.send("1101", {})).message
        assert "UNSUPPORTED_TRADE" in (await side.hospital.send("9999", {})).message


async def test_a_name_outside_gbk_is_refused_with_its_code_point_and_never_as_a_question_mark(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        answer = await side.hospital.send(
            "0221",
            {
                **side.stay.head(),
                "aac001": side.person.personal_number,
                "aac003": "刘𬱖",
                "ykc902": "04",
                "aae030": "20240301",
                "aae140": "310",
            },
        )
        # The hospital's GB 18030 sequence is read; the insured province's GBK system cannot carry it.
        assert answer.code == -1
        assert "UNENCODABLE_CHARACTER" in answer.message
        assert "U+2CC56" in answer.message
        assert not side.insured_core.state.filings


async def test_a_hospital_asks_the_insured_province_to_file_and_takes_it_back(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        head = {**side.stay.head(), "aac001": side.person.personal_number, "aac003": side.person.name}
        filed = await side.hospital.send(
            "0221", {**head, "ykc902": "04", "aae030": "20240301", "aae031": "20240901", "aae140": "310"}
        )
        assert filed.is_success, filed.message
        filing = side.insured_core.state.filings[filed.value("ykc901")]
        assert (filing.destination_area, filing.filing_type) == ("510100", "04")
        withdrawn = await side.hospital.send("0222", {**head, "ykc901": filing.filing_id})
        assert withdrawn.is_success, withdrawn.message
        assert filing.is_withdrawn


async def test_the_own_core_files_outwards_and_the_place_of_care_knows(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        person = side.own_core.state.population.people[0]
        arguments = {
            "identity_number": person.identity_number,
            "destination_area": "440100",
            "filing_type": "02",
            "insurance_kind": person.active_enrolments[0].insurance_kind,
            "first_day": "20240301",
        }
        told = await side.own_core.file_outwards(arguments)
        assert told["told"] is True, told
        noted = side.insured_core.state.filings[str(told["filing_id"])]
        assert noted.identity_number == person.identity_number
        # Told twice, as a retrying core does, it is one filing and one national message.
        side.own_core.behaviours.set("outward-0223", Switches(duplicate=True), calls=1)
        await side.own_core.file_outwards(arguments)
        assert side.exchange.methods_called() == ["ReportFiling", "ReportFiling"]
        withdrawn = await side.own_core.withdraw_outwards({"filing_id": told["filing_id"], "cause": "示例"})
        assert withdrawn["told"] is True
        assert noted.is_withdrawn
