"""The card office's verbs over its books. What was done before is answered so (01), as such offices do."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from onecard_stubs.guangxi import records
from onecard_stubs.guangxi.records import Application, Books, Card, Done, Event, Holder, Refused
from onecard_stubs.guangxi.wire import Text
from onecard_stubs.population import Person, Population, numbers

DONE, ALREADY, GIVEN = "00", "01", "OK"
_OWN = "45"
_REISSUE = "2"
_FIRST_NEW_INDEX = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer."""

    err: str = DONE
    values: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[Mapping[str, str], ...] = ()
    word: str = ""


class CardOffice:
    """The office in memory; every person of the population has a card in use. `on_change` hears of every event."""

    def __init__(self, population: Population, on_change: Callable[[Event], None] = lambda event: None) -> None:
        self.books = Books()
        self.enabling_failures = 0
        """How many of the next 领卡启用 fail."""
        self._population = population
        self._on_change = on_change
        self._sequence = itertools.count(1)
        for person in population:
            self.books.cards[person.card_number] = Card(
                person=person,
                number=person.card_number,
                status=records.ACTIVE,
                changed=records.now(),
                recognition_code=person.card_recognition_code,
                bank_card_number=person.bank_card_number,
                electronic_card_id=f"E45{person.personal_number}",
                certificate_serial=person.card_recognition_code[-16:],
            )
        self.verbs: dict[str, Callable[[Text], Said]] = {
            "临时挂失": lambda text: self._lose(text, records.TEMPORARILY_LOST),
            "正式挂失": lambda text: self._lose(text, records.LOST),
            "解除挂失": self._found,
            "即时制卡标注": self._label,
            "申请社保卡": self._apply,
            "获取批次号": lambda text: Said(values={"批次号": self._new_number("450000")}),
            "即制卡批次": self._batch,
            "即制卡数据": self._data,
            "即制卡回盘": self._return,
            "领卡启用": self._enable,
            "getCard": self._status,
            "getAC01": lambda text: Said(err=GIVEN, values=self.card(text).columns()),
            "getBank": self._bank,
            "getAZ03": self._progress,
            "换卡事项": self._step,
            "外省卡状态": self._copy,
        }

    def answer(self, text: Text) -> Said:
        """The answer to one verb; ERR holds the office's words where it refuses."""
        verb = self.verbs.get(text.values.get("操作", ""))
        try:
            return Said(err="操作不支持") if verb is None else verb(text)
        except Refused as refused:
            return Said(err=str(refused))
        except KeyError as missing:
            return Said(err=f"缺少{missing.args[0]}")

    def card(self, text: Text) -> Card:
        """The card that a verb names. Raises Refused."""
        card = self.books.cards.get(text.values.get("社会保障卡卡号", ""))
        if card is None:
            raise Refused("无此卡")
        number = text.values.get("社会保障号码", card.person.identity_number)
        if number.upper() != card.person.identity_number:
            raise Refused("卡号与社会保障号码不符")
        return card

    def card_of(self, person: Person) -> Card:
        """The newest card of a person."""
        return next(card for card in reversed(self.books.cards.values()) if card.person is person)

    def change(self, card: Card, status: str) -> None:
        """Put a card into a status and tell of it."""
        card.status, card.changed = status, records.now()
        self.books.events.append(card.event())
        self._on_change(self.books.events[-1])

    def _lose(self, text: Text, status: str) -> Said:
        card = self.card(text)
        if card.status == status or (card.status == records.REISSUING and status == records.LOST):
            return Said(err=ALREADY)
        if card.status not in (records.ACTIVE, records.TEMPORARILY_LOST):
            raise Refused(f"卡状态为{_word(card.status)}，不能挂失")
        self.change(card, status)
        return Said()

    def _found(self, text: Text) -> Said:
        card = self.card(text)
        if card.status == records.ACTIVE:
            return Said(err=ALREADY)
        if card.status not in (records.LOST, records.TEMPORARILY_LOST):
            raise Refused(f"卡状态为{_word(card.status)}，不能解除挂失")
        self.change(card, records.ACTIVE)
        return Said()

    def _label(self, text: Text) -> Said:
        card = self.card(text)
        if card.status == records.REISSUING:
            return Said(err=ALREADY)
        if card.status != records.LOST:
            raise Refused("未正式挂失，不能补卡")
        self.change(card, records.REISSUING)
        return Said()

    def _apply(self, text: Text) -> Said:
        person = self._person(text.values["证件号码"])
        if person.identity_number in self.books.applications:
            return Said(err=ALREADY)
        kind = text.values["办卡类型"]
        if kind == _REISSUE and self.card_of(person).status != records.REISSUING:
            raise Refused("原卡未标注即时制卡")
        self.books.applications[person.identity_number] = Application(person=person, kind=kind)
        return Said()

    def _batch(self, text: Text) -> Said:
        lines = []
        for line in text.lines:
            application = self._application(line["社会保障号码"])
            if not application.number:
                old = self.card_of(application.person)
                application.number = numbers.card_number(_FIRST_NEW_INDEX + next(self._sequence))
                self.books.cards[application.number] = Card(
                    person=application.person,
                    number=application.number,
                    status=records.MAKING,
                    changed=records.now(),
                    production_kind=application.kind,
                    production_way="1",
                    issued="",
                    certificate_kind=old.certificate_kind,
                    certificate_number=old.certificate_number,
                    replaces=old.number,
                    bank="",
                )
            application.batch = text.values["批次号"]
            lines.append({**line, "社保卡号": application.number})
        return Said(lines=tuple(lines))

    def _data(self, text: Text) -> Said:
        application = self._application(text.values["社会保障号码"])
        person = application.person
        return Said(
            values={
                "社保卡号": application.number,
                "国籍": "CHN",
                "证件类型": "1",
                "社会保障号码": person.identity_number,
                "姓名": person.name,
                "性别": person.sex,
                "民族": person.ethnicity,
                "出生日期": f"{person.birth_day:%Y%m%d}",
                "申请类型": application.kind,
                "有效期至": "",
                "相片": "/9j/4AAQSkZJRgABAQEAYABgAAD/2Q==",
            }
        )

    def _return(self, text: Text) -> Said:
        for line in text.lines:
            card = self.books.cards.get(line["社保卡号"])
            if card is None or self._application(line["社会保障号码"]).number != card.number:
                raise Refused("回盘与批次不符")
            if card.status not in (records.MAKING, records.RETURN_FAILED):
                continue
            if any(line.get(name) for name in ("失败原因", "失败原因(50字节内)")):
                self.change(card, records.RETURN_FAILED)
                continue
            card.issued = line.get("制卡日期") or line["发卡日期"]
            card.recognition_code = line["卡识别码"]
            card.certificate_serial = card.recognition_code[-16:]
            card.reset_information = line["卡复位码"]
            card.bank_card_number = line["银行卡号"]
            card.bank = line.get("服务银行", "") or "95588"
            self.change(card, records.TO_COLLECT)
        return Said()

    def _enable(self, text: Text) -> Said:
        card = self.card(text)
        if card.status == records.ACTIVE:
            return Said(err=ALREADY)
        if card.status not in (records.TO_COLLECT, records.COLLECTED, records.TO_ENABLE):
            raise Refused(f"卡状态为{_word(card.status)}，不能启用")
        if self.enabling_failures:
            self.enabling_failures -= 1
            self.change(card, records.TO_ENABLE)
            raise Refused("启用失败，待激活")
        self.books.applications.pop(card.person.identity_number, None)
        self.change(card, records.ACTIVE)
        return Said()

    def _status(self, text: Text) -> Said:
        card = self.books.cards.get(text.values["社会保障卡卡号"])
        return Said(word="无此卡" if card is None else _word(card.status))

    def _bank(self, text: Text) -> Said:
        card = self.card(text)
        return Said(err=GIVEN, values={"AAE008": card.bank, "AAE010": card.bank_card_number})

    def _progress(self, text: Text) -> Said:
        person = self._person(text.values["社会保障号码"])
        card = self.card_of(person)
        return Said(
            err=GIVEN,
            values={"AAZ500": card.number, "AAC002": person.identity_number, "ZKZT": _word(card.status)},
        )

    def _step(self, text: Text) -> Said:
        """Carry a step out, or undo it. What was never done is undone at once, and is not carried out later."""
        name, is_forward = text.values["事项"], text.values["方向"] == "1"
        done, undone = ((text.values["业务流水号"], f"{name}{direction}") for direction in "10")
        if is_forward and undone in self.books.steps:
            raise Refused("该事项已撤销")
        key = done if is_forward else undone
        if (known := self.books.steps.get(key)) is not None:
            return _step_said(ALREADY, known)
        if is_forward or done in self.books.steps:
            self._carry_out(text, name, is_forward=is_forward)
        self.books.steps[key] = Done(local_id=self._new_number("450001"), time=records.now())
        return _step_said(DONE, self.books.steps[key])

    def _carry_out(self, text: Text, name: str, *, is_forward: bool) -> None:
        """Both directions are records of this office, and the old card's status."""
        before, after = text.values["原社保卡号"], text.values["新社保卡号"]
        number = after if is_forward else before
        holder = self.books.holders.setdefault(text.values["社会保障号码"], Holder())
        match name:
            case "原卡失效":
                self._supersede(self._own_card(text, "原"), text.values["业务流水号"], is_forward=is_forward)
            case "电子社保卡换绑":
                old, new = self._own_card(text, "原"), self._own_card(text, "新")
                self._move_electronic_card(*((old, new) if is_forward else (new, old)))
                holder.electronic_card_on = number
            case "医保凭证换绑":
                holder.credential_on = number
            case "个人账户划转":
                holder.medical_account_on = number
            case "待遇发放账户变更":
                holder.benefit_task = text.values["业务流水号"] if is_forward else ""
            case _:
                raise Refused(f"事项{name}不支持")

    def _own_card(self, text: Text, which: str) -> Card | None:
        """The old card (原) or the new one (新), if it is of this office; provinces' numbers may be the same.

        Raises Refused for another person's: another province names the card, and may have mistyped its number.
        """
        if text.values[f"{which}卡发卡地"] != _OWN:
            return None
        card = self.books.cards.get(text.values[f"{which}社保卡号"])
        if card is not None and not card.is_of(text.values["社会保障号码"]):
            raise Refused("卡号与社会保障号码不符")
        return card

    def _move_electronic_card(self, old: Card | None, new: Card | None) -> None:
        """The e-card maps to one card: its number moves where both cards are of this office."""
        if old is not None and new is not None and old is not new and old.electronic_card_id:
            new.electronic_card_id, old.electronic_card_id = old.electronic_card_id, ""
            self.change(old, old.status)
            self.change(new, new.status)

    def _supersede(self, card: Card | None, replacement: str, *, is_forward: bool) -> None:
        if card is None:
            raise Refused("无此卡")
        if is_forward and card.status not in (records.CANCELLED, records.SUPERSEDED):
            card.before, card.ended_by = card.status, replacement
            self.change(card, records.SUPERSEDED)
        elif not is_forward and card.status == records.SUPERSEDED and card.ended_by == replacement:
            self.change(card, card.before)

    def _copy(self, text: Text) -> Said:
        key = (text.values["YKZ513"], text.values["AAZ500"])
        known = self.books.copies.get(key)
        if known is not None and int(known["YKZ514"]) >= int(text.values["YKZ514"]):
            return Said(err=ALREADY)
        self.books.copies[key] = dict(text.values)
        return Said()

    def _person(self, number: str) -> Person:
        person = self._population.by_identity_number(number)
        if person is None:
            raise Refused("无此人员信息")
        return person

    def _application(self, number: str) -> Application:
        application = self.books.applications.get(number.upper())
        if application is None:
            raise Refused("无制卡申请")
        return application

    def _new_number(self, prefix: str) -> str:
        return f"{prefix}{records.now():%y%m%d}{next(self._sequence):04d}"


def _word(status: str) -> str:
    return records.WORDS.get(status, status)


def _step_said(err: str, done: Done) -> Said:
    return Said(err=err, values={"办理编号": done.local_id, "办理时间": f"{done.time:%Y%m%d%H%M%S}"})
