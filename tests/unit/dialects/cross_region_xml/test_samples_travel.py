"""Samples of real messages go in at the hospital's end and at the insured core's, and are answered in their form."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1 import coverage_pb2, settlement_pb2
from onecard.medical.v1.encounter_pb2 import RegisterRequest
from onecard.medical.v1.values_pb2 import EncounterReference, Institution
from onecard_adapters.connectors.http import Handler, HttpRequest, LocalHttpClient
from onecard_adapters.dialects.cross_region_xml import envelope, insured
from onecard_adapters.dialects.cross_region_xml.care import build_care
from onecard_adapters.dialects.cross_region_xml.envelope import Operation, Result
from onecard_adapters.dialects.cross_region_xml.places import Places
from onecard_adapters.dialects.cross_region_xml.settings import InstitutionSettings
from onecard_stubs.sichuan import soap
from tests.support.cross_region_samples import answered, posted
from tests.support.edge_memory import edge_memory
from tests.support.fake_exchange import FakeExchange
from tests.support.samples import sample
from tests.support.scripted_core import ScriptedCore
from tests.support.sichuan import SETTLEMENT, coded, insured_settings
from tests.support.sichuan_care import care_settings

PLACE = Institution(code="99900000044080011A1001", name="示例市第一医院", area="440800")
VISIT_ID = "S4414002403020990001"
NUMBER = "440000195901019919"
IDENTIFY, SETTLE = "xml-legacy/gd-0211-identify-req.xml", "xml-legacy/gd-0304-settle-req.xml"
IDENTIFIED = "xml-legacy/gd-0211-identify-resp.xml"
TOTALS = {"ykc690": "2", "akc264": "5000.10", "akc253": "200.00", "akc254": "300.10", "ykc624": "4500.00"}
NO_LINES = {"ykc690": "0", "akc264": "0.00"}
LINE = {"ykc610": "99001", "akc226": "1", "akc225": "5000.10", "akc227": "5000.10", "ykc624": "5000.10"}
REGISTRATION = {
    "aab301": "441400",
    "aac002": NUMBER,
    "aac043": "90",
    "aac044": NUMBER,
    "akb026": PLACE.code,
    "ykc700": "",
    "aka130": "21",
    "aae140": "310",
    "aae030": "20240302",
}


def _read(body: bytes) -> tuple[str, soap.Message]:
    message = soap.read(body)
    return message.trade, message


@dataclasses.dataclass(slots=True)
class Ends:
    """A hospital of the samples, its own core, and the insured province's core, both scripted."""

    handler: Handler
    exchange: FakeExchange
    own_core: ScriptedCore
    insured_core: ScriptedCore
    operation: Operation

    async def send(self, body: bytes) -> Result:
        """Bytes in, the answer out; it comes in the operation that was asked."""
        answer = await self.handler(HttpRequest(path="/sichuan", headers={}, body=body))
        assert answer.status == 200
        assert soap.read(answer.body).operation == self.operation.value
        return envelope.read_result(answer.body)

    async def send_sample(self, name: str, trade: str) -> Result:
        return await self.send(posted(name, trade, self.operation))

    async def registered(self) -> None:
        """The samples tell neither registration nor upload: those two are ours."""
        detail = [LINE]
        script = {"0211": answered(IDENTIFIED, self.operation), "0212": self.told({}), "0301": self.told(TOTALS)}
        self.insured_core.script.update(script)
        self.own_core.script.update(
            {"0212": self.told({"ykc700": VISIT_ID}), "0301": self.told({"detail": detail, **TOTALS})}
        )
        lines: soap.Fields = {**REGISTRATION, "ykc700": VISIT_ID, "detail": detail}
        for result in (
            await self.send_sample(IDENTIFY, "0211"),
            await self.send(soap.write_call(self.operation.value, "0212", REGISTRATION)),
            await self.send(soap.write_call(self.operation.value, "0301", lines)),
        ):
            assert result.is_success, result.error_message

    def told(self, output: soap.Fields) -> bytes:
        """A core's answer of success."""
        return soap.write_answer(self.operation.value, error_code="0", output=output)


@contextlib.asynccontextmanager
async def _ends(tmp_path: Path, operation: Operation, area: str) -> AsyncIterator[Ends]:
    async with contextlib.AsyncExitStack() as stack:
        own_core, insured_core = ScriptedCore(_read), ScriptedCore(_read)
        clients = []
        for core in (own_core, insured_core):
            await core.start()
            stack.push_async_callback(core.stop)
            clients.append(LocalHttpClient(url=core.url))
            stack.push_async_callback(clients[-1].close)
        memories = [await stack.enter_async_context(edge_memory(tmp_path)) for _ in clients]
        exchange = FakeExchange("cn-51")
        settings = insured_settings(insured_core.url, operation, area="440000")
        served = insured.build_insured(settings, memories[1], clients[1])
        exchange.serve("cn-44", served.coverage, served.filing, served.encounter, served.settlement)
        institution = {"code": PLACE.code, "name": PLACE.name, "area": PLACE.area}
        care = care_settings(own_core.url, operation, area=area, institutions=[institution])
        yield Ends(build_care(care, memories[0], exchange, clients[0]), exchange, own_core, insured_core, operation)
        exchange.check_traffic()


@pytest.fixture(params=Operation, ids=lambda operation: operation.value)
async def ends(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    """The samples ask about people of the hospital's own province, so this adapter is of another one."""
    async with _ends(tmp_path, request.param, "510000") as made:
        yield made


def _place_of(request: soap.Message) -> tuple[str, ...]:
    return tuple(request.value(name) for name in ("aab299", "yab600", "akb026", "akb021"))


PLACE_TOLD = (PLACE.area, PLACE.area, PLACE.code, PLACE.name)


async def test_the_identification_of_the_samples_brings_back_the_answer_of_the_samples(ends: Ends) -> None:
    ends.insured_core.script["0211"] = answered(IDENTIFIED, ends.operation)
    # Once in the frame made of two samples, once as the sample of the whole message.
    for body in (posted(IDENTIFY, "0211", ends.operation), sample(f"soap/gd-{ends.operation.value}-req.xml")):
        result = await ends.send(body)
        assert result.is_success, result.error_message
        told = {
            name: result.output.value(name) for name in ("aab301", "aac002", "aac043", "aac044", "aac003", "ykc021")
        }
        expected = ("441400", NUMBER, "90", NUMBER, "陈?", "21")
        assert tuple(told.values()) == expected, "the damaged name as it came"
        assert result.output.value("aae140") == "", "the kind was not told"
        call = ends.exchange.calls[-1]
        assert call.recipient == "cn-44"
        assert call.request.institution == PLACE  # type: ignore[attr-defined]
        assert isinstance(call.response, coverage_pb2.QueryCoverageResponse)
        (enrolment,) = call.response.enrolments
        assert (enrolment.insurance_area, enrolment.person_class) == ("441400", coded("nhsa.psn_type", "1201"))
        assert not enrolment.HasField("insurance_kind")
        asked = ends.insured_core.requests[-1]
        assert (*_place_of(asked), asked.value("ake007")) == (*PLACE_TOLD, "20240302")


async def test_the_short_answers_of_the_soap_samples_are_identifications_too(ends: Ends) -> None:
    ends.insured_core.script["0211"] = sample(f"soap/gd-{ends.operation.value}-resp.xml")
    result = await ends.send_sample(IDENTIFY, "0211")
    assert result.is_success, result.error_message
    assert (result.output.value("aac003"), result.output.value("aab301")) == ("陈小明", "441400")


async def test_the_withdrawal_of_the_samples_takes_all_lines_back_on_both_sides(ends: Ends) -> None:
    await ends.registered()
    ends.own_core.script["0302"] = ends.insured_core.script["0302"] = ends.told(NO_LINES)
    result = await ends.send_sample("xml-legacy/gd-0302-undo-all-details-req.xml", "0302")
    assert result.is_success, result.error_message
    assert (result.output.value("ykc690"), result.output.value("akc264")) == ("0", "0.00")
    assert list(ends.exchange.calls[-1].request.line_ids) == []  # type: ignore[attr-defined]
    for core in (ends.own_core, ends.insured_core):
        asked = core.requests[-1]
        assert (asked.trade, asked.value("otransid"), asked.value("ykc700")) == ("0302", "0", VISIT_ID)
        assert _place_of(asked) == PLACE_TOLD


async def test_the_page_query_of_the_samples_is_the_own_cores_to_answer(ends: Ends) -> None:
    await ends.registered()
    ends.own_core.script["0707"] = ends.told({"ykc690": "1", "detail": [LINE]})
    result = await ends.send_sample("xml-legacy/gd-0707-query-details-req.xml", "0707")
    assert result.is_success, result.error_message
    (row,) = envelope.read_result(ends.told({"detail": [LINE]})).output.children[0].children
    detail = result.output.find("detail")
    assert detail is not None
    assert detail.children == (row,)
    asked = ends.own_core.requests[-1]
    period = tuple(asked.value(name) for name in ("aae310", "aae311", "startrow"))
    assert (period, _place_of(asked)) == (("20240302", "20240312", "1"), PLACE_TOLD)


async def _settled(ends: Ends, answer: str) -> Result:
    await ends.registered()
    ends.own_core.script["0706"] = ends.told(TOTALS)
    ends.insured_core.script["0304"] = answered(answer, ends.operation)
    return await ends.send_sample(SETTLE, "0304")


async def test_the_settlement_of_the_samples_brings_back_the_answer_of_the_samples(ends: Ends) -> None:
    result = await _settled(ends, "xml-legacy/gd-0304-settle-resp.xml")
    assert result.is_success, result.error_message
    assert result.transaction_id.startswith("440800240312"), "the sample has no transid: one is derived"
    told = {
        name: result.output.value(name)
        for name in ("ykc618", "ykc675", "akc264", "akc253", "akc254", "ykc624", "akb068")
    }
    expected = ("A4414002403120990001", "12", "5000.10", "200.00", "300.10", "4500.00", "3510.00")
    assert tuple(told.values()) == expected
    assert result.output.value("akb067") == "1490.10", "cash follows from the identities"
    response = ends.exchange.calls[-1].response
    assert isinstance(response, settlement_pb2.SettleResponse)
    assert (response.settlement_id, response.split.pooling_fund_fen) == ("A4414002403120990001", 351_000)
    asked = ends.insured_core.requests[-1]
    assert (*_place_of(asked), asked.value("akc264"), asked.value("ykc675")) == (*PLACE_TOLD, "5000.10", "12")
    again = await ends.send_sample(SETTLE, "0304")
    assert (again.transaction_id, again.output) == (result.transaction_id, result.output)
    assert ends.exchange.methods_called().count("Settle") == 1


async def test_the_settlement_of_the_samples_is_cancelled_at_its_place(ends: Ends) -> None:
    settled = await _settled(ends, "xml-legacy/gd-0304-settle-resp.xml")
    settlement_id = settled.output.value("ykc618")
    amounts = {"akc264": "-5000.10", "akc253": "-200.00", "akc254": "-300.10", "ykc624": "-4500.00"}
    funds = {"ake039": "-3510.00", "akb068": "-3510.00"}
    red = {"ykc618": "A4414002403120990002", "yzc001": settlement_id, **amounts, **funds}
    ends.insured_core.script["0305"] = ends.told(red)
    cancellation = {**REGISTRATION, "ykc700": VISIT_ID, "ykc618": settlement_id}
    cancelled = await ends.send(soap.write_call(ends.operation.value, "0305", cancellation))
    assert cancelled.is_success, cancelled.error_message
    assert cancelled.output.value("akb067") == "-1490.10"
    assert _place_of(ends.insured_core.requests[-1]) == PLACE_TOLD


async def test_a_doubt_about_the_settlement_of_the_samples_tells_its_number_and_the_repeat_ends_it(ends: Ends) -> None:
    ends.exchange.lose_answers(f"{SETTLEMENT}Settle")
    doubtful = await _settled(ends, "xml-legacy/gd-0304-settle-resp.xml")
    assert doubtful.error_code == -9
    assert doubtful.transaction_id.startswith("440800240312")
    found = await ends.send_sample(SETTLE, "0304")
    assert (found.error_code, found.transaction_id) == (0, doubtful.transaction_id)


async def test_the_refused_settlement_of_the_samples_reaches_the_cashier_with_its_own_text(ends: Ends) -> None:
    result = await _settled(ends, "xml-legacy/gd-0304-settle-resp-failed.xml")
    assert result.error_code == -1
    assert "费用总额与已上传明细合计不一致！" in result.error_message
    refusal: Any = ends.exchange.calls[-1].error
    assert refusal.reason == errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM
    assert (refusal.local_code, refusal.local_text) == ("-1", "费用总额与已上传明细合计不一致！")
    # The same form, which has no number, is a new wish once it was refused for good.
    ends.insured_core.script["0304"] = answered("xml-legacy/gd-0304-settle-resp.xml", ends.operation)
    again = await ends.send_sample(SETTLE, "0304")
    assert again.is_success, again.error_message
    assert again.output.value("ykc618") == "A4414002403120990001"


@pytest.mark.parametrize(
    ("name", "trade", "reason"),
    [
        ("xml-legacy/gd-0302-undo-all-details-req.xml", "0302", "ENCOUNTER_UNKNOWN"),
        (SETTLE, "0304", "ENCOUNTER_UNKNOWN"),
        ("xml-legacy/gd-0707-query-details-req.xml", "0707", "ENCOUNTER_UNKNOWN"),
        ("xml-legacy/gd-pp-bizh200102-req.xml", "0212", "LOCAL_FORM_INVALID"),
        ("xml-legacy/sc-yibin-query-req.xml", "0211", "LOCAL_FORM_INVALID"),
    ],
)
async def test_a_sample_that_deserves_a_refusal_gets_it_by_name(ends: Ends, name: str, trade: str, reason: str) -> None:
    result = await ends.send_sample(name, trade)
    assert (result.error_code, f"[{reason}]" in result.error_message) == (-1, True), result.error_message
    assert not ends.exchange.calls


async def test_the_samples_own_province_serves_its_own_people_itself(tmp_path: Path) -> None:
    async with _ends(tmp_path, Operation.TEXT, "440000") as ends:
        result = await ends.send_sample(IDENTIFY, "0211")
        assert (result.error_code, "[RECIPIENT_NOT_ALLOWED]" in result.error_message) == (-1, True)


def test_an_institution_may_have_the_older_code_and_none_that_the_hub_would_refuse() -> None:
    institution = {"name": "示例", "area": "510100"}
    for code in ("H51010099901", PLACE.code):
        assert InstitutionSettings.model_validate({**institution, "code": code})
    with pytest.raises(ValidationError, match="code"):
        InstitutionSettings.model_validate({**institution, "code": "H51010099901 "})


async def test_an_area_is_what_the_registration_told_and_never_cut_out_of_an_older_code(tmp_path: Path) -> None:
    request = RegisterRequest(institution=PLACE, visit_id=VISIT_ID)
    encounter = EncounterReference(encounter_id="0a" * 16, institution_code=PLACE.code, visit_id=VISIT_ID)
    unknown = EncounterReference(encounter_id="0b" * 16, institution_code=PLACE.code, visit_id=VISIT_ID)
    national = EncounterReference(encounter_id="0b" * 16, institution_code="H44010099901", visit_id=VISIT_ID)
    async with edge_memory(tmp_path) as memory:
        places = Places(memory)
        await places.remember(encounter, request)
        assert places.of(encounter) == PLACE
        assert places.of(unknown) == Institution(code=PLACE.code)
        assert places.of(national) == Institution(code="H44010099901", area="440100")
