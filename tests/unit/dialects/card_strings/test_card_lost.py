"""From the card office's notice to the desk, and from a counter's question to its answer, over HTTP."""

import pytest

from onecard.card.v1 import change_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import LocalCard
from onecard_protocol.errors import OneCardError
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangxi.core import NOTICE
from tests.support.card_offices import KeepingDesk, guangxi
from tests.support.eventually import eventually


async def test_a_loss_by_hotline_is_told_with_all_that_the_office_knows() -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, _):
        person = stub.population.people[0]
        await stub.report_lost({"identity_number": person.identity_number})
        await eventually(lambda: bool(desk.told))
    (card,) = desk.told
    assert isinstance(card, LocalCard)
    assert card.card == values_pb2.CardReference(issuer="cn-45", number=person.card_number, sequence=1)
    assert card.person.number == person.identity_number
    assert card.state == values_pb2.SOCIAL_STATE_TEMPORARILY_LOST
    assert card.change == change_pb2.SOCIAL_CHANGE_UNSPECIFIED
    assert (card.local_status.system, card.local_status.code) == ("cn-45.aaz502", "06")
    assert card.holder.name == person.name
    assert card.data.recognition_code == person.card_recognition_code
    assert card.data.bank == "bank-102"
    assert card.data.generation == 3
    assert not card.data.HasField("expiry_day")


async def test_a_batch_of_repeats_in_any_order_tells_nothing_that_is_not_so_now() -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, _):
        person = stub.population.people[1]
        who = {"identity_number": person.identity_number}
        await stub.report_lost(who)
        await eventually(lambda: desk.states(person.card_number) == ["TEMPORARILY_LOST"])
        await stub.report_found(who)
        await eventually(lambda: desk.states(person.card_number) == ["TEMPORARILY_LOST", "ACTIVE"])
        assert (await stub.hourly_batch({"repeats": 5, "seed": 3}))["notices"] == 10
        stub.verbs_asked.clear()
        await eventually(lambda: stub.verbs_asked.count("getCard") >= 10)
        await stub.report_lost({**who, "is_formal": True})
        await eventually(lambda: desk.states(person.card_number)[-1] == "LOST")
    assert desk.states(person.card_number) == ["TEMPORARILY_LOST", "ACTIVE", "LOST"]


async def test_a_notice_that_the_desk_cannot_take_is_given_again() -> None:
    desk = KeepingDesk()
    desk.failure = OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY)
    async with guangxi(desk) as (stub, _):
        person = stub.population.people[2]
        await stub.report_lost({"identity_number": person.identity_number})
        await eventually(lambda: "getAC01" in stub.verbs_asked)
        desk.failure = None
        await eventually(lambda: desk.states(person.card_number) == ["TEMPORARILY_LOST"])


async def test_a_notice_given_twice_at_once_is_one_change() -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, _):
        stub.behaviours.set(f"outward-{NOTICE}", Switches(duplicate=True))
        person = stub.population.people[3]
        await stub.report_lost({"identity_number": person.identity_number})
        await eventually(lambda: stub.verbs_asked.count("getAC01") == 2)
    assert desk.states(person.card_number) == ["TEMPORARILY_LOST"]


@pytest.mark.parametrize(
    ("verdict", "is_usable", "words"),
    [
        (status_pb2.CARD_VERDICT_VALID, True, "正常"),
        (status_pb2.CARD_VERDICT_TEMPORARILY_LOST, False, "临时挂失"),
        (status_pb2.CARD_VERDICT_LOST, False, "正式挂失"),
        (status_pb2.CARD_VERDICT_SUPERSEDED, False, "新卡已启用"),
        (status_pb2.CARD_VERDICT_STALE, False, "暂时无法核实"),
    ],
)
async def test_a_counter_reads_yes_or_no_and_why_in_chinese(
    verdict: status_pb2.CardVerdict, is_usable: bool, words: str
) -> None:
    desk = KeepingDesk()
    desk.verdicts["A99000080"] = verdict
    async with guangxi(desk) as (stub, _):
        answer = await stub.verify(
            {
                "identity_number": "110000196201019924",
                "card_number": "A99000080",
                "recognition_code": "110000D1560000059900000000000080",
                "issuing_area": "110000",
                "name": "周小测",
            }
        )
    assert answer["is_usable"] is is_usable
    assert words in answer["reason"]
    (question,) = desk.questions
    assert question.person.number == "110000196201019924"
    assert question.recognition_code == "110000D1560000059900000000000080"
    assert question.terminal == "GL450300-001"
    assert question.purpose == "counter"


async def test_a_counter_that_cannot_be_answered_reads_why_and_no_number() -> None:
    desk = KeepingDesk()
    desk.failure = OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY, "no gateway")
    async with guangxi(desk) as (stub, _):
        answer = await stub.verify({"identity_number": "110000196201019924", "card_number": "A99000080"})
    assert not answer["is_usable"]
    assert answer["reason"].startswith("[HUB_NOT_READY]")
    assert "110000196201019924" not in answer["reason"]
