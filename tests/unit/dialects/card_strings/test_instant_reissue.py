"""Instant reissue from the loss to the new card in use, through the adapter, with both offices' return files."""

import pytest

from onecard.card.v1 import change_pb2, values_pb2
from onecard_adapters.cards.port import LocalCard
from onecard_stubs.behaviour import Switches
from tests.support.card_offices import KeepingDesk, guangxi
from tests.support.eventually import eventually

_VERBS = [
    *("正式挂失", "即时制卡标注", "申请社保卡", "获取批次号", "即制卡批次", "即制卡数据", "即制卡回盘", "领卡启用")
]


@pytest.mark.parametrize("columns", ["henan", "jilin"])
async def test_a_lost_card_is_reissued_verb_by_verb(columns: str) -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, _):
        person = stub.population.people[0]
        done = await stub.reissue(
            {"identity_number": person.identity_number, "columns": columns, "through_adapter": True}
        )
        new = done["card_number"]
        await eventually(lambda: desk.states(new) == ["PRODUCED", "ACTIVE"])
    assert list(done["steps"]) == _VERBS
    assert set(done["steps"].values()) == {"00"}
    assert desk.states(person.card_number)[0] == "LOST"
    enabled = [card for card in desk.told if card.card.number == new][-1]
    assert isinstance(enabled, LocalCard)
    assert enabled.data.recognition_code == done["recognition_code"]
    assert enabled.data.bank == "bank-102"
    assert enabled.data.production_way.code == "1"
    assert enabled.replaces == values_pb2.CardReference(issuer="cn-45", number=person.card_number, sequence=1)
    assert enabled.change == change_pb2.SOCIAL_CHANGE_UNSPECIFIED


@pytest.mark.parametrize("through_adapter", [True, False])
async def test_an_enabling_that_failed_after_a_good_return_is_tried_again_until_it_succeeds(
    through_adapter: bool,
) -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, _):
        await stub.fail_enabling({"times": 3})
        person = stub.population.people[1]
        done = await stub.reissue({"identity_number": person.identity_number, "through_adapter": through_adapter})
        assert "启用失败" in done["steps"]["领卡启用"]
        new = done["card_number"]
        await eventually(lambda: bool(desk.states(new)) and desk.states(new)[-1] == "ACTIVE")
    assert stub.verbs_asked.count("领卡启用") == 4
    assert [card.local_status.code for card in desk.told if card.card.number == new][-2:] == ["14", "04"]


async def test_an_answer_lost_after_the_commit_is_no_second_card() -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, _):
        person = stub.population.people[2]
        stub.behaviours.set("正式挂失", Switches(lose_answer=True), calls=1)
        with pytest.raises(ValueError, match="OUTCOME_UNKNOWN"):
            await stub.reissue({"identity_number": person.identity_number, "through_adapter": True})
        done = await stub.reissue({"identity_number": person.identity_number, "through_adapter": True})
        await eventually(lambda: desk.states(done["card_number"])[-1:] == ["ACTIVE"])
    assert done["steps"]["正式挂失"] == "01"
    assert sum(card.person is person for card in stub.office.books.cards.values()) == 2


async def test_what_the_office_refuses_reaches_the_point_in_the_offices_words() -> None:
    desk = KeepingDesk()
    async with guangxi(desk) as (stub, _):
        person = stub.population.people[3]
        first = await stub.reissue({"identity_number": person.identity_number, "through_adapter": True})
        await eventually(lambda: desk.states(first["card_number"])[-1:] == ["ACTIVE"])
        stub.office.books.cards[first["card_number"]].status = "09"
        with pytest.raises(ValueError, match="卡状态为注销，不能挂失"):
            await stub.reissue({"identity_number": person.identity_number, "through_adapter": True})
