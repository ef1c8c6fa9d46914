"""Cards at a province's core that tells and answers in columns (aaz500, aaz502 …), whatever envelope carries them.

The columns are ours beside those of card offices. Statuses are each core's own codes. What hangs on a card at other
systems of the province (e-card, medical credential, medical account) is a local record here, and nothing more.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from onecard_protocol.china_time import SHANGHAI
from onecard_protocol.identity import to_18_digits
from onecard_stubs.behaviour import Behaviours, Command
from onecard_stubs.notices import Notices, NotTaken
from onecard_stubs.population import Person, Population, numbers

Columns = Mapping[str, str]
AskAdapter = Callable[[str, Columns], Awaitable[Mapping[str, Any]]]
"""NOTICE, VERIFY or CONFIRM with columns, to the columns of the adapter's answer; raises NotTaken."""

NOTICE, VERIFY, CONFIRM = "notice", "verify", "confirm"
_BATCH_WINDOW = timedelta(hours=2)
_FIRST_REISSUED = 800_000


class StepRefused(Exception):
    """The core does not do it; the text is what the clerk reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statuses:
    """A core's own codes."""

    produced: str
    active: str
    lost: str
    temporarily_lost: str
    superseded: str
    steps: tuple[str, str, str, str, str]
    """Old card superseded, e-card rebound, credential followed, medical account moved, benefit account to change."""


@dataclass(slots=True, kw_only=True)
class Card:
    """One card."""

    person: Person
    number: str
    status: str
    changed: datetime
    electronic_card_id: str
    recognition_code: str
    bank_card_number: str
    certificate_serial: str
    """Of the certificate on the chip."""
    certificate_kind: str = "01"
    certificate_number: str = ""
    """A foreigner's, beside the social security number that the person has here; empty: they are the same."""
    replaces: str = ""
    """Number of the card that it was made for."""
    before: str = ""
    """Status before its successor ended it."""
    ended_by: str = ""
    """The replacement that ended it; another one's undoing does not restore it."""

    def is_of(self, number: str) -> bool:
        """Whether it is the card of a person who is named by this number, or by this certificate's."""
        return to_18_digits(number) in (self.person.identity_number, self.certificate_number.upper() or None)


@dataclass(slots=True, kw_only=True)
class Hanging:
    """The card on which each of these hangs; empty: the holder's only one."""

    electronic_card: str = ""
    credential: str = ""
    medical_account: str = ""
    benefit_task: str = ""
    """The replacement for which the agency has to change the account that benefits are paid to."""


@dataclass(slots=True)
class _Done:
    local_id: str
    time: datetime = field(default_factory=lambda: datetime.now(SHANGHAI))


class ColumnsCards:
    """The cards of a population, each in use."""

    def __init__(
        self, population: Population, statuses: Statuses, behaviours: Behaviours, ask_adapter: AskAdapter | None
    ) -> None:
        self.cards: dict[str, Card] = {}
        self.hanging: dict[str, Hanging] = {}
        self.copies: dict[tuple[str, str], dict[str, str]] = {}
        self.notices = Notices(self._tell)
        self._population = population
        self._province = population.province_area[:2]
        self._statuses = statuses
        self._behaviours = behaviours
        self._ask_adapter = ask_adapter
        self._events: list[dict[str, str]] = []
        self._steps: dict[tuple[str, str, bool], _Done] = {}
        self._sequence = itertools.count(1)
        for person in population:
            self.cards[person.card_number] = Card(
                person=person,
                number=person.card_number,
                status=statuses.active,
                changed=datetime.now(SHANGHAI),
                electronic_card_id=f"E{self._province}{person.personal_number}",
                recognition_code=person.card_recognition_code,
                bank_card_number=person.bank_card_number,
                certificate_serial=person.card_recognition_code[-16:],
            )

    def commands(self) -> dict[str, Command]:
        """What people do here, for /control/command."""
        return {
            "report_lost": self.report_lost,
            "report_found": self.report_found,
            "set_status": self.set_status,
            "reissue": self.reissue,
            "hourly_batch": self.hourly_batch,
            "verify": self.verify,
            "confirm_benefit_account": self.confirm_benefit_account,
            "tell_all": self.tell_all,
            "show_cards": self.show_cards,
        }

    def query(self, columns: Columns) -> dict[str, str]:
        """A card's columns; none where there is no such card."""
        card = self.cards.get(columns["aaz500"])
        return {} if card is None else self._columns(card)

    def step(self, columns: Columns) -> dict[str, str]:
        """Carry a step of a replacement out, or undo it; done before, it is answered so.

        What was never done is undone at once, and is not carried out later.
        """
        step, is_forward = (columns["ykz603"], columns["ykz601"]), columns["ykz602"] == "1"
        if is_forward and (*step, False) in self._steps:
            raise StepRefused("该事项已撤销")
        key = (*step, is_forward)
        done = self._steps.get(key)
        is_already = done is not None
        if done is None:
            if is_forward or (*step, True) in self._steps:
                self._carry_out(columns, is_forward=is_forward)
            done = self._steps[key] = _Done(f"{self._province}{next(self._sequence):010d}")
        return {
            "ykz604": done.local_id,
            "ykz605": "1" if is_already else "0",
            "aae036": f"{done.time:%Y%m%d%H%M%S}",
        }

    def copy(self, columns: Columns) -> dict[str, str]:
        """Keep another province's card unless a newer version of it is known."""
        key = (columns["ykz513"], columns["aaz500"])
        known = self.copies.get(key)
        is_already = known is not None and int(known["ykz514"]) >= int(columns["ykz514"])
        if not is_already:
            self.copies[key] = dict(columns)
        return {"ykz605": "1" if is_already else "0"}

    async def report_lost(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The hotline: takes identity_number or card_number, and is_formal (false: for the time being)."""
        known = self._statuses
        if arguments.get("is_formal"):
            return self._report(arguments, known.lost, (known.active, known.temporarily_lost))
        return self._report(arguments, known.temporarily_lost, (known.active,))

    async def report_found(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The hotline: takes identity_number or card_number of a card for which no other was made."""
        known = self._statuses
        return self._report(arguments, known.active, (known.lost, known.temporarily_lost))

    async def set_status(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Any other status, such as handed out or locked: takes identity_number or card_number, and the core's code."""
        return self._report(arguments, str(arguments["status"]))

    async def reissue(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Instant reissue: the person's card is lost, another one is made and enabled; takes identity_number."""
        person = self._population.by_identity_number(str(arguments["identity_number"]))
        old = None if person is None else self._newest_of(person)
        if person is None or old is None:
            raise ValueError("no such person")
        if old.status == self._statuses.active:
            self._change(old, self._statuses.lost)
        index = _FIRST_REISSUED + len(self.cards)
        made = Card(
            person=person,
            number=numbers.card_number(index),
            status=self._statuses.produced,
            changed=datetime.now(SHANGHAI),
            electronic_card_id=old.electronic_card_id,
            recognition_code=numbers.recognition_code(person.card_recognition_code[:6], index),
            bank_card_number=numbers.bank_card_number(index),
            certificate_serial=f"{index:016X}",
            certificate_kind=old.certificate_kind,
            certificate_number=old.certificate_number,
            replaces=old.number,
        )
        self.cards[made.number] = made
        self._change(made, self._statuses.produced)
        self._change(made, self._statuses.active)
        return {"old_card": old.number, "card_number": made.number, "recognition_code": made.recognition_code}

    async def hourly_batch(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tell all events of the last two hours again, each `repeats` times, in an order that `seed` decides."""
        since = f"{datetime.now(SHANGHAI) - _BATCH_WINDOW:%Y%m%d%H%M%S}"
        events = [event for event in self._events if event["aae036"] >= since] * int(arguments.get("repeats", 1))
        random.Random(int(arguments.get("seed", 0))).shuffle(events)
        for event in events:
            self.notices.put(event)
        return {"notices": len(events)}

    async def verify(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """A counter: takes identity_number, card_number, recognition_code, terminal; a card of any province.

        Answers is_usable, reason, as_of, and duration_ms."""
        started = time.perf_counter()
        columns = {
            "aac058": "01",
            "aac002": str(arguments["identity_number"]),
            "aaz500": str(arguments["card_number"]),
            "ykz501": str(arguments.get("recognition_code", "")),
            "ykz607": str(arguments.get("terminal", f"{self._province}0000-001")),
        }
        try:
            answer = await self._asked(VERIFY, columns)
        except NotTaken as refused:
            answer = {"ykz608": "0", "ykz609": str(refused), "aae036": ""}
        return {
            "is_usable": answer["ykz608"] == "1",
            "reason": answer["ykz609"],
            "as_of": answer["aae036"],
            "duration_ms": round((time.perf_counter() - started) * 1_000, 1),
        }

    async def confirm_benefit_account(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The pension agency changed the account of an open task: takes identity_number, and bank (102)."""
        number = str(arguments["identity_number"])
        hanging = self.hanging.get(number, Hanging())
        if not hanging.benefit_task:
            raise ValueError("no task is open for this person")
        bank = str(arguments.get("bank", "102"))
        columns = {"ykz603": hanging.benefit_task, "aac058": "01", "aac002": number, "aae008": bank}
        try:
            await self._asked(CONFIRM, columns)
        except NotTaken as refused:
            raise ValueError(str(refused)) from refused
        done, hanging.benefit_task = hanging.benefit_task, ""
        return {"replacement_id": done}

    async def tell_all(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tell of every card as it stands, as a core does when it joins; of a person's alone with identity_number."""
        number = arguments.get("identity_number")
        told = [card for card in self.cards.values() if number in (None, card.person.identity_number)]
        if self._ask_adapter is not None:
            for card in told:
                self.notices.put(_event(card))
        return {"notices": len(told)}

    async def show_cards(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """A person's cards and what hangs on which: takes identity_number."""
        number = str(arguments["identity_number"])
        hanging = self.hanging.get(number, Hanging())
        return {
            "cards": [
                {"card_number": card.number, "recognition_code": card.recognition_code, "status": card.status}
                for card in self.cards.values()
                if card.person.identity_number == number
            ],
            "electronic_card_on": hanging.electronic_card,
            "credential_on": hanging.credential,
            "medical_account_on": hanging.medical_account,
            "benefit_task": hanging.benefit_task,
        }

    def _carry_out(self, columns: Columns, *, is_forward: bool) -> None:
        superseded, electronic, credential, account, benefit = self._statuses.steps
        number = columns["aaz500"] if is_forward else columns["ykz510"]
        hanging = self.hanging.setdefault(columns["aac002"], Hanging())
        match columns["ykz601"]:
            case step if step == superseded:
                self._supersede(columns, is_forward=is_forward)
            case step if step == electronic:
                hanging.electronic_card = number
            case step if step == credential:
                hanging.credential = number
            case step if step == account:
                hanging.medical_account = number
            case step if step == benefit:
                hanging.benefit_task = columns["ykz603"] if is_forward else ""
            case _:
                raise StepRefused("事项不支持")

    def _supersede(self, columns: Columns, *, is_forward: bool) -> None:
        card, replacement = self.cards.get(columns["ykz510"]), columns["ykz603"]
        if card is None:
            raise StepRefused("无此卡")
        # Another province names it, and may have mistyped its number.
        if not card.is_of(columns["aac002"]):
            raise StepRefused("原卡不属于此人")
        if is_forward and card.status != self._statuses.superseded:
            card.before, card.ended_by = card.status, replacement
            self._change(card, self._statuses.superseded)
        elif not is_forward and card.status == self._statuses.superseded and card.ended_by == replacement:
            self._change(card, card.before)

    def _report(
        self, arguments: Mapping[str, Any], status: str, allowed: Sequence[str] | None = None
    ) -> Mapping[str, Any]:
        """Put a card into a status; `allowed` are those before it, any where None."""
        if "card_number" in arguments:
            card = self.cards.get(str(arguments["card_number"]))
        else:
            person = self._population.by_identity_number(str(arguments["identity_number"]))
            card = None if person is None else self._newest_of(person)
        if card is None:
            raise ValueError("no such card")
        followed = status == self._statuses.active and any(one.replaces == card.number for one in self.cards.values())
        if card.status == self._statuses.superseded or (followed and allowed is not None):
            raise ValueError("the card has a successor")
        is_already = card.status == status
        if not is_already and allowed is not None and card.status not in allowed:
            raise ValueError("the card is in no status that allows it")
        if not is_already:
            self._change(card, status)
        return {"card_number": card.number, "was_already": is_already, "time": card.changed.isoformat()}

    def _newest_of(self, person: Person) -> Card | None:
        return next((card for card in reversed(self.cards.values()) if card.person is person), None)

    def _change(self, card: Card, status: str) -> None:
        card.status, card.changed = status, datetime.now(SHANGHAI)
        self._events.append(_event(card))
        if self._ask_adapter is not None:
            self.notices.put(self._events[-1])

    async def _tell(self, event: Columns) -> None:
        switches = self._behaviours.take(f"outward-{NOTICE}")
        if switches.down:
            raise NotTaken("the line is down")
        await asyncio.sleep(switches.delay_ms / 1_000)
        for _ in range(2 if switches.duplicate else 1):
            await self._asked(NOTICE, event)

    async def _asked(self, trade: str, columns: Columns) -> Mapping[str, Any]:
        if self._ask_adapter is None:
            raise ValueError("no adapter is configured")
        return await self._ask_adapter(trade, columns)

    def _columns(self, card: Card) -> dict[str, str]:
        person = card.person
        return {
            "aac058": card.certificate_kind,
            "aac002": card.certificate_number or person.identity_number,
            "aac007": person.identity_number,
            "aac003": person.name,
            "aac004": person.sex,
            "aac005": person.ethnicity,
            "aac006": f"{person.birth_day:%Y%m%d}",
            "aac161": "CHN",
            "aab301": card.recognition_code[:6],
            "aaz500": card.number,
            "aaz502": card.status,
            "aaz161": "20220315",
            "aaz162": "20320315",
            "aae008": "102",
            "aae010": card.bank_card_number,
            "aca017": "2" if card.replaces else "1",
            "aca015": "1" if card.replaces else "2",
            **({"ykz510": card.replaces, "ykz511": "1"} if card.replaces else {}),
            "ykz501": card.recognition_code,
            "ykz502": "1",
            "ykz503": "3.00",
            "ykz505": "1",
            "ykz507": card.certificate_serial,
            "ykz508": card.electronic_card_id,
            "ykz509": "1",
            "aae036": f"{card.changed:%Y%m%d%H%M%S}",
        }


def _event(card: Card) -> dict[str, str]:
    return {"aaz500": card.number, "aaz502": card.status, "aae036": f"{card.changed:%Y%m%d%H%M%S}"}
