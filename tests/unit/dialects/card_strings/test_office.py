"""The card office for the exchange: steps, copies, a card as it stands, and every failure by its reason."""

import pytest

from onecard.card.v1 import change_pb2, replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.port import LocalCard
from onecard_protocol.errors import OneCardError
from onecard_stubs.behaviour import Switches
from tests.support.card_offices import KeepingDesk, guangxi, step_request
from tests.support.eventually import eventually

_STEPS = [
    *("OLD_SUPERSEDED", "ELECTRONIC_CARD_REBOUND", "CREDENTIAL_FOLLOWED"),
    *("MEDICAL_ACCOUNT_MOVED", "BENEFIT_ACCOUNT_CHANGED"),
]


@pytest.mark.parametrize("step", _STEPS)
async def test_a_step_is_done_once_and_answered_as_done_already_the_second_time(step: str) -> None:
    async with guangxi(KeepingDesk()) as (stub, office):
        person = stub.population.people[0]
        request = step_request(
            step, number=person.identity_number, old=("cn-45", person.card_number), new=("cn-45", "A99500001")
        )
        first, second = await office.carry_out(request), await office.carry_out(request)
    assert (first.was_already, second.was_already) == (False, True)
    assert first.local_id == second.local_id != ""
    assert first.done_time == second.done_time
    assert first.done_time.seconds > 1_700_000_000


async def test_an_old_card_is_superseded_told_and_brought_back_by_the_undoing() -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, office):
        person = stub.population.people[0]
        cards = {"number": person.identity_number, "old": ("cn-45", person.card_number), "new": ("cn-51", "A99000009")}
        await office.carry_out(step_request("OLD_SUPERSEDED", **cards))  # type: ignore[arg-type]
        await eventually(lambda: desk.states(person.card_number) == ["SUPERSEDED"])
        back = step_request("OLD_SUPERSEDED", **cards, direction=replacement_pb2.STEP_DIRECTION_BACK)  # type: ignore[arg-type]
        await office.carry_out(back)
        await eventually(lambda: desk.states(person.card_number) == ["SUPERSEDED", "ACTIVE"])


@pytest.mark.parametrize("step", _STEPS)
async def test_what_was_never_done_is_undone_at_once_and_never_carried_out_later(step: str) -> None:
    async with guangxi(KeepingDesk()) as (stub, office):
        person = stub.population.people[0]
        request = step_request(
            step, number=person.identity_number, old=("cn-45", person.card_number), new=("cn-45", "A99500001")
        )
        request.direction = replacement_pb2.STEP_DIRECTION_BACK
        first, again = await office.carry_out(request), await office.carry_out(request)
        assert first.local_id == again.local_id != ""
        request.direction = replacement_pb2.STEP_DIRECTION_FORWARD
        with pytest.raises(OneCardError) as late:
            await office.carry_out(request)
        assert late.value.reason == errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM
        found = await office.find(request.old_card)
        assert found is not None
        assert found.state == values_pb2.SOCIAL_STATE_ACTIVE


async def test_the_benefit_account_is_a_task_that_the_agency_confirms() -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, office):
        person = stub.population.people[0]
        who = {"identity_number": person.identity_number}
        with pytest.raises(ValueError, match="no task is open"):
            await stub.confirm_benefit_account(who)
        request = step_request(
            "BENEFIT_ACCOUNT_CHANGED",
            number=person.identity_number,
            old=("cn-45", person.card_number),
            new=("cn-45", "A99500001"),
        )
        await office.carry_out(request)
        desk.failure = OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY)
        with pytest.raises(ValueError, match="HUB_NOT_READY"):
            await stub.confirm_benefit_account(who)
        desk.failure = None
        with pytest.raises(ValueError, match="UNMAPPED_CODE"):
            await stub.confirm_benefit_account({**who, "bank": "00000"})
        await stub.confirm_benefit_account(who)
    (confirmed,) = desk.confirmed
    assert confirmed.replacement_id == request.replacement_id
    assert confirmed.person.number == person.identity_number
    assert confirmed.bank == "bank-102"


async def test_the_enabling_that_began_it_is_no_step_of_a_card_office() -> None:
    async with guangxi(KeepingDesk()) as (_, office):
        with pytest.raises(OneCardError) as refused:
            await office.carry_out(step_request("NEW_ENABLED", number="1", old=("cn-45", "A1"), new=("cn-45", "A2")))
    assert refused.value.reason == errors_pb2.ERROR_REASON_UNMAPPED_CODE


async def test_a_step_of_a_card_that_the_office_does_not_have_is_refused() -> None:
    async with guangxi(KeepingDesk()) as (_, office):
        with pytest.raises(OneCardError) as refused:
            await office.carry_out(
                step_request("OLD_SUPERSEDED", number="1", old=("cn-45", "A00000000"), new=("cn-45", "A99000002"))
            )
    assert refused.value.reason == errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        (Switches(lose_answer=True), errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN),
        (Switches(wrong_encoding=True), errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN),
    ],
)
async def test_a_step_whose_answer_is_lost_is_in_doubt_and_found_done_when_asked_again(
    switches: Switches, reason: int
) -> None:
    async with guangxi(KeepingDesk()) as (stub, office):
        stub.behaviours.set("换卡事项", switches, calls=1)
        person = stub.population.people[0]
        request = step_request(
            "CREDENTIAL_FOLLOWED",
            number=person.identity_number,
            old=("cn-45", person.card_number),
            new=("cn-45", "A99500001"),
        )
        with pytest.raises(OneCardError) as doubt:
            await office.carry_out(request)
        assert doubt.value.reason == reason
        assert (await office.carry_out(request)).was_already


async def test_a_card_is_found_as_it_stands_and_one_that_was_never_made_is_none() -> None:
    async with guangxi(KeepingDesk()) as (stub, office):
        person = stub.population.people[4]
        reference = values_pb2.CardReference(issuer="cn-45", number=person.card_number, sequence=1)
        found = await office.find(reference)
        assert isinstance(found, LocalCard)
        assert found.state == values_pb2.SOCIAL_STATE_ACTIVE
        stub.verbs_asked.clear()
        assert await office.find(values_pb2.CardReference(issuer="cn-45", number="A00000000", sequence=1)) is None
        assert stub.verbs_asked == ["getCard"]
        assert await office.find(values_pb2.CardReference(issuer="cn-11", number=person.card_number)) is None


@pytest.mark.parametrize("verb", ["getCard", "getAC01"])
async def test_a_status_that_stands_in_no_table_is_refused_with_table_and_version(verb: str) -> None:
    async with guangxi(KeepingDesk()) as (stub, office):
        stub.behaviours.set(verb, Switches(wrong_code=True))
        number = stub.population.people[0].card_number
        with pytest.raises(OneCardError) as refused:
            await office.find(values_pb2.CardReference(issuer="cn-45", number=number, sequence=1))
    assert refused.value.reason == errors_pb2.ERROR_REASON_UNMAPPED_CODE
    assert "social_state version card-strings/2024.1" in refused.value.detail


async def test_a_card_of_another_province_is_kept_as_a_copy_in_the_offices_own_codes() -> None:
    async with guangxi(KeepingDesk()) as (stub, office):
        change = change_pb2.ReportSocialChangeRequest(
            person=exchange_values_pb2.PersonIdentity(number="110000196201019924"),
            card=values_pb2.CardReference(issuer="cn-11", number="A99000080", sequence=1),
            version=3,
            state=values_pb2.SOCIAL_STATE_LOST,
            data=values_pb2.CardData(bank="bank-102"),
            holder=values_pb2.HolderDetails(name="周小测"),
        )
        await office.tell(change)
        older = change_pb2.ReportSocialChangeRequest()
        older.CopyFrom(change)
        older.version, older.state = 2, values_pb2.SOCIAL_STATE_ACTIVE
        await office.tell(older)
        (copy,) = stub.office.books.copies.values()
        assert (copy["AAZ502"], copy["YKZ514"], copy["AAE008"], copy["AAC003"]) == ("05", "3", "95588", "周小测")


@pytest.mark.parametrize("name", ["刘𬱖", "周<小测"])
async def test_a_copy_goes_without_what_the_office_cannot_hold_but_never_without_its_state(name: str) -> None:
    kind = exchange_values_pb2.CodedValue(system="mohrss.aca017", version="1", code="77")
    async with guangxi(KeepingDesk()) as (stub, office):
        change = change_pb2.ReportSocialChangeRequest(
            person=exchange_values_pb2.PersonIdentity(number="110000196201019924"),
            card=values_pb2.CardReference(issuer="cn-11", number="A99000080", sequence=1),
            version=4,
            state=values_pb2.SOCIAL_STATE_LOST,
            data=values_pb2.CardData(bank="bank-999", production_kind=kind, residence_area="450100"),
            holder=values_pb2.HolderDetails(name=name),
        )
        await office.tell(change)
        (copy,) = stub.office.books.copies.values()
        assert (copy["AAZ502"], copy["YKZ514"], copy["AAC002"], copy["AAB301"]) == (
            *("05", "4"),
            *("110000196201019924", "450100"),
        )
        assert not {"AAC003", "AAE008", "ACA017"} & copy.keys()
        change.state = values_pb2.SOCIAL_STATE_UNSPECIFIED
        with pytest.raises(OneCardError) as refused:
            await office.tell(change)
        assert refused.value.reason == errors_pb2.ERROR_REASON_UNMAPPED_CODE


async def test_own_cards_and_accounts_are_no_copies() -> None:
    async with guangxi(KeepingDesk()) as (stub, office):
        own = change_pb2.ReportSocialChangeRequest(card=values_pb2.CardReference(issuer="cn-45", number="A99000001"))
        await office.tell(own)
        await office.tell(change_pb2.ReportFinancialChangeRequest())
        assert not stub.verbs_asked
