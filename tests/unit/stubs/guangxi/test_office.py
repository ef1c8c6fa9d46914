"""The card office by itself: what it does, what it had done already, what it refuses, and what it tells."""

import pytest

from onecard_stubs.guangxi import records
from onecard_stubs.guangxi.office import CardOffice
from onecard_stubs.guangxi.records import Event
from onecard_stubs.guangxi.wire import Text
from onecard_stubs.population import Person, Population

_POPULATION = Population(province_area="450000", count=5)


class _Counter:
    """Somebody who asks for verbs about one person's cards."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.office = CardOffice(_POPULATION, self.events.append)
        self.person: Person = _POPULATION.people[0]
        self.number = self.person.card_number

    def say(self, verb: str, *lines: dict[str, str], **values: str) -> str:
        """ERR of the answer, or the bare word."""
        known = {"操作": verb, "社会保障卡卡号": self.number, "社会保障号码": self.person.identity_number}
        said = self.office.answer(Text(values={**known, **values}, lines=lines))
        return said.word or said.err

    def reissued(self) -> str:
        """Everything up to the return file; gives the new number."""
        who = {"社会保障号码": self.person.identity_number}
        for verb in ("正式挂失", "即时制卡标注"):
            assert self.say(verb) == "00"
        assert self.say("申请社保卡", 证件号码=self.person.identity_number, 办卡类型="2") == "00"
        assert self.say("即制卡批次", who, 批次号="1") == "00"
        new = self.office.card_of(self.person).number
        line = {"社保卡号": new, **who, "发卡日期": "20240315", "卡识别码": "x", "卡复位码": "y", "银行卡号": "z"}
        assert self.say("即制卡回盘", line) == "00"
        return new


def test_a_loss_and_its_end_are_done_once_and_told_once() -> None:
    counter = _Counter()
    assert [counter.say(verb) for verb in ("临时挂失", "临时挂失", "解除挂失", "解除挂失")] == ["00", "01", "00", "01"]
    assert [event.status for event in counter.events] == ["06", "04"]
    assert counter.say("getCard") == "OK"


def test_a_card_that_is_being_reissued_is_not_found_again() -> None:
    counter = _Counter()
    counter.reissued()
    assert "不能解除挂失" in counter.say("解除挂失")
    assert counter.say("正式挂失") == "01"
    assert counter.say("getCard") == "补卡中"


@pytest.mark.parametrize(
    ("verb", "values", "said"),
    [
        ("即时制卡标注", {}, "未正式挂失"),
        ("申请社保卡", {"证件号码": "450000194001019998", "办卡类型": "2"}, "无此人员信息"),
        ("即制卡数据", {"社会保障号码": "1"}, "无制卡申请"),
        ("领卡启用", {"社会保障卡卡号": "A00000000"}, "无此卡"),
        ("领卡启用", {"社会保障号码": "1"}, "卡号与社会保障号码不符"),
        ("注销", {}, "操作不支持"),
        ("换卡事项", {}, "缺少事项"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(verb: str, values: dict[str, str], said: str) -> None:
    assert said in _Counter().say(verb, **values)


def test_an_electronic_card_moves_with_its_number_and_comes_back_by_the_undoing() -> None:
    counter = _Counter()
    old, new = counter.office.books.cards[counter.number], counter.office.books.cards[counter.reissued()]
    number = old.electronic_card_id
    step = {
        "事项": "电子社保卡换绑",
        "业务流水号": "r",
        "原社保卡号": old.number,
        "新社保卡号": new.number,
        "原卡发卡地": "45",
        "新卡发卡地": "45",
    }
    assert [counter.say("换卡事项", **step, 方向="1"), counter.say("换卡事项", **step, 方向="1")] == ["00", "01"]
    assert (old.electronic_card_id, new.electronic_card_id) == ("", number)
    assert [event.number for event in counter.events[-2:]] == [old.number, new.number]
    assert counter.say("换卡事项", **step, 方向="0") == "00"
    assert (old.electronic_card_id, new.electronic_card_id) == (number, "")


@pytest.mark.parametrize("step", ["原卡失效", "电子社保卡换绑"], ids=["superseded", "electronic card"])
def test_another_persons_card_is_neither_ended_nor_robbed_of_its_electronic_card(step: str) -> None:
    counter = _Counter()
    new, stranger = counter.reissued(), counter.office.books.cards[_POPULATION.people[1].card_number]
    before, told = stranger.electronic_card_id, len(counter.events)
    cards = {"原社保卡号": stranger.number, "原卡发卡地": "45", "新社保卡号": new, "新卡发卡地": "45"}
    asked = {**cards, "事项": step, "业务流水号": "r", "方向": "1"}
    assert counter.say("换卡事项", **asked) == "卡号与社会保障号码不符"
    # Another province's card may have the same number.
    elsewhere = counter.say("换卡事项", **{**asked, "原卡发卡地": "11"})
    assert elsewhere == ("无此卡" if step == "原卡失效" else "00")
    assert (stranger.status, stranger.electronic_card_id) == (records.ACTIVE, before)
    assert len(counter.events) == told


def test_a_card_that_one_replacement_ended_is_not_restored_by_undoing_another() -> None:
    counter = _Counter()
    card = counter.office.books.cards[counter.number]
    step = {"事项": "原卡失效", "原社保卡号": card.number, "原卡发卡地": "45", "新社保卡号": "A1", "新卡发卡地": "11"}
    for replacement, direction, status in (
        ("r", "1", records.SUPERSEDED),
        ("s", "1", records.SUPERSEDED),
        ("s", "0", records.SUPERSEDED),
        ("r", "0", records.ACTIVE),
    ):
        assert counter.say("换卡事项", 业务流水号=replacement, 方向=direction, **step) == "00"
        assert card.status == status


def test_a_card_that_is_replaced_under_its_own_number_keeps_its_electronic_card() -> None:
    counter = _Counter()
    card = counter.office.books.cards[counter.number]
    number = card.electronic_card_id
    cards = {"原社保卡号": card.number, "原卡发卡地": "45", "新社保卡号": card.number, "新卡发卡地": "45"}
    assert counter.say("换卡事项", 事项="电子社保卡换绑", 业务流水号="r", 方向="1", **cards) == "00"
    assert card.electronic_card_id == number


@pytest.mark.parametrize("named", ["x1234567", "the person's own"])
def test_a_foreigners_card_is_ended_under_the_certificate_or_the_social_security_number(named: str) -> None:
    counter = _Counter()
    card = counter.office.books.cards[counter.number]
    card.certificate_number = "X1234567"
    cards = {"原社保卡号": card.number, "原卡发卡地": "45", "新社保卡号": "A99500001", "新卡发卡地": "11"}
    number = named if named != "the person's own" else card.person.identity_number
    assert counter.say("换卡事项", 社会保障号码=number, 事项="原卡失效", 业务流水号="r", 方向="1", **cards) == "00"
    assert card.status == records.SUPERSEDED


def test_an_enabling_fails_as_often_as_it_was_told_to_and_leaves_the_card_to_be_enabled() -> None:
    counter = _Counter()
    counter.number = counter.reissued()
    counter.office.enabling_failures = 1
    assert "启用失败" in counter.say("领卡启用")
    assert counter.say("getCard") == "待激活"
    assert [counter.say("领卡启用"), counter.say("领卡启用")] == ["00", "01"]
    assert [event.status for event in counter.events[-2:]] == [records.TO_ENABLE, records.ACTIVE]
