"""Guangxi's card office as an HTTP server, which tells its adapter what became of every card; and what people do there.

Commands under /control/command: `report_lost`, `report_found`, `hourly_batch`, `tell_all`, `verify` (a counter in
Guilin), `reissue` (an instant-issue point), `fail_enabling`, `confirm_benefit_account` (an agency) and `show`. A notice
that the adapter does not take is given again.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import aiohttp
from aiohttp import web

from onecard_stubs.behaviour import Switches, serve
from onecard_stubs.guangxi import records, wire
from onecard_stubs.guangxi.office import ALREADY, DONE, CardOffice, Said
from onecard_stubs.guangxi.point import InstantIssuePoint
from onecard_stubs.guangxi.records import Event
from onecard_stubs.notices import Notices, NotTaken
from onecard_stubs.population import Person, Population
from onecard_stubs.serving import HOST, ServedSystem

PATH: Final = "/card"
NOTICE: Final = "卡状态通知"
PROVINCE_AREA: Final = "450000"

_BATCH_WINDOW: Final = timedelta(hours=2)
_ANSWER_S: Final = 30.0
_USER: Final = {"用户名": "USER", "密码": "PASS"}
_COUNTER_AREA: Final = "450300"
_TERMINAL: Final = "GL450300-001"

_log = logging.getLogger(__name__)


class GuangxiCardOffice(ServedSystem):
    """The office of one region, in memory."""

    def __init__(self, population: Population | None = None, *, adapter_url: str = "") -> None:
        super().__init__(PATH)
        self.population = population or Population(province_area=PROVINCE_AREA)
        self.adapter_url = adapter_url
        """Where notices and counters' questions go; empty: nowhere."""
        self.office = CardOffice(self.population, self._tell_later)
        self.verbs_asked: list[str] = []
        """In the order they came."""
        self.notices = Notices(self._tell)

    async def start(self, host: str = HOST, port: int = 0) -> None:
        """Listen, and tell the adapter of what happens; OSError if the port is taken."""
        await self._listen(
            host,
            port,
            {
                "report_lost": self.report_lost,
                "report_found": self.report_found,
                "hourly_batch": self.hourly_batch,
                "verify": self.verify,
                "reissue": self.reissue,
                "fail_enabling": self.fail_enabling,
                "confirm_benefit_account": self.confirm_benefit_account,
                "tell_all": self.tell_all,
                "show": self.show,
            },
            self._serve,
        )
        self.notices.start()

    async def stop(self) -> None:
        """Stop; what the office holds is kept."""
        await self.notices.stop()
        await super().stop()

    async def report_lost(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The hotline: takes identity_number or card_number, and is_formal (false: for the time being)."""
        return self._said("正式挂失" if arguments.get("is_formal") else "临时挂失", arguments)

    async def report_found(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The hotline: takes identity_number or card_number."""
        return self._said("解除挂失", arguments)

    async def hourly_batch(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tell all events of the last two hours again, each `repeats` times, in an order that `seed` decides."""
        since = records.now() - _BATCH_WINDOW
        events = [event for event in self.office.books.events if event.time >= since]
        events *= int(arguments.get("repeats", 1))
        random.Random(int(arguments.get("seed", 0))).shuffle(events)
        for event in events:
            self._tell_later(event)
        return {"notices": len(events)}

    async def verify(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """A counter in Guilin: takes what was read from a card of any province: identity_number, card_number,
        recognition_code, issuing_area, name, terminal; of a foreigner also certificate_kind and certificate_number.
        Answers is_usable, reason, as_of, and duration_ms."""
        shown = {"AAC058": "certificate_kind", "AAC002": "certificate_number"}
        string = wire.card_string(
            area=str(arguments.get("issuing_area", "")),
            number=str(arguments["identity_number"]),
            card=str(arguments["card_number"]),
            code=str(arguments.get("recognition_code", "")),
            name=str(arguments.get("name", "")),
            version="3.00",
        )
        started = time.perf_counter()
        answer = await self._post(
            {
                "操作": "社保卡验证",
                **_USER,
                "城市代码": _COUNTER_AREA,
                "终端编号": str(arguments.get("terminal", _TERMINAL)),
                wire.CARD_STRING: string,
                **{tag: str(arguments[name]) for tag, name in shown.items() if name in arguments},
            }
        )
        return {
            "is_usable": answer.values.get("可用") == "1",
            "reason": answer.values.get("原因") or answer.values.get("ERR", answer.word),
            "as_of": answer.values.get("数据时间", ""),
            "duration_ms": round((time.perf_counter() - started) * 1_000, 1),
        }

    async def reissue(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """An instant-issue point: takes identity_number, columns (henan or jilin), through_adapter (false: directly).

        Loss, label, application, batch, data, return file, enabling; answers each verb's ERR and the new card."""
        url = self.adapter_url if arguments.get("through_adapter") else self.url
        point = InstantIssuePoint(url, columns=str(arguments.get("columns", "jilin")))
        person = self._person(arguments)
        done = await point.reissue(person, old_card=self.office.card_of(person).number)
        return {"card_number": done.card_number, "recognition_code": done.recognition_code, "steps": done.steps}

    async def fail_enabling(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The next `times` enablings fail after a good return: the card is 待激活."""
        self.office.enabling_failures = int(arguments.get("times", 1))
        return {"times": self.office.enabling_failures}

    async def confirm_benefit_account(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The pension agency changed the account of an open task: takes identity_number, and bank (95588)."""
        person = self._person(arguments)
        holder = self.office.books.holders.get(person.identity_number)
        if holder is None or not holder.benefit_task:
            raise ValueError("no task is open for this person")
        answer = await self._post(
            {
                "操作": "待遇发放账户变更确认",
                **_USER,
                "业务流水号": holder.benefit_task,
                "社会保障号码": person.identity_number,
                "服务银行": str(arguments.get("bank", "95588")),
            }
        )
        if answer.values.get("ERR") not in (DONE, ALREADY):
            raise ValueError(answer.values.get("ERR", answer.word))
        done, holder.benefit_task = holder.benefit_task, ""
        return {"replacement_id": done}

    async def tell_all(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """Tell of every card as it stands, as an office does when it joins."""
        for card in self.office.books.cards.values():
            self._tell_later(card.event())
        return {"notices": len(self.office.books.cards)}

    async def show(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """A person's cards and what hangs on them: takes identity_number; without, how much the office holds."""
        books = self.office.books
        if "identity_number" not in arguments:
            counts = {"cards": len(books.cards), "copies": len(books.copies), "steps": len(books.steps)}
            return {**counts, "waiting": len(self.notices)}
        person = self._person(arguments)
        holder = books.holders.get(person.identity_number)
        return {
            "cards": [
                {"card_number": card.number, "status": card.status, "recognition_code": card.recognition_code}
                for card in books.cards.values()
                if card.person is person
            ],
            "electronic_card_on": holder.electronic_card_on if holder else "",
            "credential_on": holder.credential_on if holder else "",
            "medical_account_on": holder.medical_account_on if holder else "",
            "benefit_task": holder.benefit_task if holder else "",
        }

    def _said(self, verb: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        person = self._person(arguments)
        number = str(arguments.get("card_number") or self.office.card_of(person).number)
        said = self.office.answer(wire.Text(values={"操作": verb, "社会保障卡卡号": number}))
        if said.err not in (DONE, ALREADY):
            raise ValueError(said.err)
        return {"card_number": number, "was_already": said.err == ALREADY, "time": records.now().isoformat()}

    def _person(self, arguments: Mapping[str, Any]) -> Person:
        if "identity_number" in arguments:
            person = self.population.by_identity_number(str(arguments["identity_number"]))
        else:
            card = self.office.books.cards.get(str(arguments["card_number"]))
            person = None if card is None else card.person
        if person is None:
            raise ValueError("no such person")
        return person

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            text = wire.read(await request.read())
        except ValueError:
            return _response(Said(err="报文格式不正确"), Switches())
        verb = text.values.get("操作", "")
        self.verbs_asked.append(verb)

        async def work(switches: Switches) -> web.Response:
            return _response(self.office.answer(text), switches)

        return await serve(request, self.behaviours.take(verb), work)

    def _tell_later(self, event: Event) -> None:
        if self.adapter_url:
            self.notices.put(event)

    async def _tell(self, event: Event) -> None:
        switches = self.behaviours.take(f"outward-{NOTICE}")
        if switches.down:
            raise NotTaken("the line is down")
        await asyncio.sleep(switches.delay_ms / 1_000)
        values = {"操作": NOTICE, **_USER, "城市代码": PROVINCE_AREA, **event.values}
        for _ in range(2 if switches.duplicate else 1):
            answer = await self._post(values)
        if answer.values.get("ERR") not in (DONE, ALREADY):
            _log.warning("the adapter did not take a notice: %s", answer.values.get("ERR", answer.word))
            raise NotTaken(answer.values.get("ERR", answer.word))

    async def _post(self, values: Mapping[str, str]) -> wire.Text:
        if not self.adapter_url:
            raise ValueError("no adapter is configured")
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_S)) as session,
            session.post(
                self.adapter_url,
                data=wire.write(values, starred=("操作", "城市代码", wire.CARD_STRING)),
                headers={"Content-Type": wire.CONTENT_TYPE},
            ) as response,
        ):
            return wire.read(await response.read())


def _response(said: Said, switches: Switches) -> web.Response:
    if said.word:
        body = wire.write_word("ZZ" if switches.wrong_code else said.word)
    else:
        values = {"ERR": said.err, **said.values}
        if switches.wrong_code and "AAZ502" in values:
            values["AAZ502"] = "ZZ"
        body = wire.write(values, said.lines)
    if switches.wrong_encoding:
        body = body.decode("gbk").encode("utf-16")
    return web.Response(body=body, headers={"Content-Type": wire.CONTENT_TYPE})
