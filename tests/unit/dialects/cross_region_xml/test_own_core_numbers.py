"""The own core knows a transid once for all hospitals: it gets the adapter's own numbers, and hospitals keep theirs."""

from pathlib import Path

import pytest

from onecard_adapters.dialects.cross_region_xml import care_desk
from onecard_adapters.runtime.context import local_transaction_id_of
from onecard_stubs.behaviour import Switches
from onecard_stubs.sichuan.hospital import Answer, HospitalStay, SichuanHospital
from tests.support.sichuan_care import BILL, SichuanCare, line, sichuan_care

FIRST, SECOND = (
    {"code": f"H5101009990{number}", "name": f"示例市第{number}医院", "area": "510100"} for number in (1, 2)
)


def _two_patients(side: SichuanCare, *hospitals: SichuanHospital) -> list[HospitalStay]:
    people = [
        person
        for person in side.insured_core.state.population
        if any(enrolment.insurance_kind == "310" for enrolment in person.active_enrolments)
    ]
    return [HospitalStay(hospital=hospital, person=person) for hospital, person in zip(hospitals, people, strict=False)]


def _visits(side: SichuanCare) -> dict[str, str]:
    """Whose visit each one at the own core is; the insured province has the same ones."""
    own, insured = (
        {visit_id: visit.identity_number for visit_id, visit in core.state.visits.items()}
        for core in (side.own_core, side.insured_core)
    )
    assert own == insured
    return own


def _lines(side: SichuanCare, stay: HospitalStay) -> list[str]:
    own, insured = (list(core.state.visits[stay.visit_id].lines) for core in (side.own_core, side.insured_core))
    assert own == insured
    return own


@pytest.mark.parametrize("is_one_hospital", [True, False])
async def test_two_registrations_under_one_transid_are_two_visits(tmp_path: Path, is_one_hospital: bool) -> None:
    async with sichuan_care(tmp_path, institutions=[FIRST, SECOND]) as side:
        url = side.hospital._url
        second = side.hospital if is_one_hospital else SichuanHospital(url, code=SECOND["code"], name=SECOND["name"])
        stays = _two_patients(side, side.hospital, second)
        transid = side.hospital.new_transid()
        for stay in stays:
            assert (await stay.identify()).is_success
            registered = await stay.register(transid)
            assert (registered.is_success, registered.transid) == (True, transid), registered.message
        assert _visits(side) == {stay.visit_id: stay.person.identity_number for stay in stays}
        for stay in stays:
            assert (await stay.upload(BILL)).is_success


async def test_two_uploads_under_one_transid_are_two_uploads(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay, other = _two_patients(side, side.hospital, side.hospital)
        for item in (stay, other):
            assert (await item.identify()).is_success
            assert (await item.register()).is_success
        transid = side.hospital.new_transid()
        assert (await stay.upload(BILL, transid)).is_success
        assert (await other.upload(BILL, transid)).is_success
        # Of this visit one upload came under the number: no other visit's is meant.
        assert (await stay.withdraw(transid)).is_success
        assert (_lines(side, stay), _lines(side, other)) == ([], ["99001", "99002", "99003"])
        assert (await other.upload((line(7, "10.00"),), transid)).is_success
        assert _lines(side, other) == ["99001", "99002", "99003", "99007"]
        assert "ORIGINAL_AMBIGUOUS" in (await other.withdraw(transid)).message


async def test_the_own_core_takes_back_the_lines_of_one_upload_by_the_number_that_it_knows(tmp_path: Path) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        answers = [await stay.identify(), await stay.register(), await stay.upload(BILL)]
        answers.append(await stay.upload((line(7, "10.00"), line(8, "20.00"))))
        answers.append(await stay.withdraw(answers[-1].transid))
        assert all(answer.is_success for answer in answers), [answer.message for answer in answers]
        assert _lines(side, stay) == ["99001", "99002", "99003"]
        # Lines that are named are meant, whatever stands beside them.
        assert (await stay.withdraw(answers[2].transid, ["99001"])).is_success
        assert (await stay.withdraw("0", ["99002"])).is_success
        assert _lines(side, stay) == ["99003"]


@pytest.mark.parametrize("trade", ["0212", "0301"])
async def test_the_number_of_the_own_core_is_no_concern_of_the_hospital(tmp_path: Path, trade: str) -> None:
    """Also where its answer was lost and 0708 tells it, with the number and the state of the trade beside it."""
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        if trade == "0301":
            await stay.register()
        side.own_core.behaviours.set(trade, Switches(lose_answer=True), calls=1)
        transid = side.hospital.new_transid()
        answer = await (stay.register(transid) if trade == "0212" else stay.upload(BILL, transid))
        assert (answer.is_success, answer.transid) == (True, transid), answer.message
        assert (answer.value("otransid"), answer.value("ykc701")) == ("", "")
        known = [local_transaction_id_of(call.message_id) for call in side.exchange.calls]
        assert set(side.own_core.state.transactions) <= set(known)


@pytest.mark.parametrize("trade", ["0212", "0301"])
async def test_a_first_request_that_a_proxy_doubled_gets_the_answer_of_its_first_copy(
    tmp_path: Path, trade: str
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        if trade == "0301":
            await stay.register()
        side.own_core.behaviours.set(trade, Switches(duplicate=True), calls=1)
        answer = await (stay.register() if trade == "0212" else stay.upload(BILL))
        assert answer.is_success, answer.message
        assert len(_visits(side)) == 1


@pytest.mark.parametrize("trade", ["0212", "0301", "0302", "0214"])
async def test_what_an_older_release_began_is_not_asked_again_under_another_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trade: str
) -> None:
    """It asked the own core under the hospital's transid and remembered no other number."""
    async with sichuan_care(tmp_path) as side:
        stay, transid = side.stay, side.hospital.new_transid()

        async def step() -> Answer:
            match trade:
                case "0212":
                    return await stay.register(transid)
                case "0301":
                    return await stay.upload(BILL, transid)
                case "0302":
                    return await stay.withdraw(uploaded, transid=transid)
                case _:
                    fields = {**stay._visit(), "akc194": "20240312", "akc195": "1"}
                    return await side.hospital.send("0214", fields, transid)

        with monkeypatch.context() as older:
            older.setattr(care_desk, "local_transaction_id_of", lambda _: "")
            await stay.identify()
            if trade != "0212":
                await stay.register()
            uploaded = (await stay.upload(BILL)).transid if trade in {"0302", "0214"} else ""
            side.own_core.behaviours.set(trade, Switches(lose_answer=True))
            side.own_core.behaviours.set("0708", Switches(down=True))
            assert (await step()).code == -9
        began = list(side.own_core.state.transactions)
        assert began[-1] == transid
        side.own_core.behaviours.clear()
        again = await step()
        assert (again.is_success, again.transid) == (True, transid), again.message
        assert list(side.own_core.state.transactions) == began
        assert _lines(side, stay) == (["99001", "99002", "99003"] if trade in {"0301", "0214"} else [])


async def test_lines_that_an_older_release_uploaded_are_taken_back_by_the_number_that_it_asked_under(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sichuan_care(tmp_path) as side:
        stay = side.stay
        await stay.identify()
        await stay.register()
        with monkeypatch.context() as older:
            older.setattr(care_desk, "local_transaction_id_of", lambda _: "")
            uploaded = await stay.upload(BILL)
        assert (await stay.withdraw(uploaded.transid)).is_success
        assert _lines(side, stay) == []
