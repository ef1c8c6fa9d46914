"""What the adapter serves in this form: the office's notices, questions of counters, and verbs that it passes on.

An instant-issue point or a counter sends its verbs to the adapter as it sent them to the office. They go on unchanged
under the adapter's own user, and what they did is looked up at once, so that the nation hears of it before the next
batch does.
"""

from __future__ import annotations

import logging

from onecard.card.v1 import replacement_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import CardDesk, LocalCard
from onecard_adapters.connectors.http import HttpAnswer, HttpRequest, LocalHttpClient, LocalHttpServers
from onecard_adapters.dialects import card_fields, card_verdicts
from onecard_adapters.dialects.card_strings import bars, verbs, wire
from onecard_adapters.dialects.card_strings.client import READING, CardOfficeClient, OfficeRefusal
from onecard_adapters.dialects.card_strings.enabling import EnablingAgain
from onecard_adapters.dialects.card_strings.office import StringsCardOffice
from onecard_adapters.dialects.card_strings.records import STRING_TAG
from onecard_adapters.dialects.card_strings.returns import read_returned
from onecard_adapters.dialects.card_strings.settings import CardStringsSettings
from onecard_adapters.dialects.card_strings.verbs import CARD_TAG, NUMBER_TAG, Direction, Request, Verb
from onecard_adapters.dialects.card_strings.wire import Answer
from onecard_adapters.dialects.cashier_text import cashier_text, log_text
from onecard_adapters.dialects.served_office import Built, LookedUp, ServedOffice
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError

_log = logging.getLogger(__name__)


def build_card_office(settings: CardStringsSettings, desk: CardDesk, servers: LocalHttpServers) -> ServedOffice:
    """The card office of a profile; CONFIGURATION_INVALID if its code tables do not load."""
    tables = settings.tables()

    def build(http: LocalHttpClient) -> Built:
        client = CardOfficeClient(http, settings.core)
        office = StringsCardOffice(settings, tables, client)
        served = ServedStrings(settings, tables, desk, office, client)
        http.before_close(served.close)
        return office, served

    return ServedOffice(servers, listen=settings.listen, url=str(settings.core.url), build=build)


class ServedStrings:
    """The handler of the profile's path."""

    def __init__(
        self,
        settings: CardStringsSettings,
        tables: CodeTables,
        desk: CardDesk,
        office: StringsCardOffice,
        client: CardOfficeClient,
    ) -> None:
        self._desk = desk
        self._tables = tables
        self._area = settings.area
        self._client = client
        self._office = office
        self._views = LookedUp(desk, self._pull)
        self._enabling = EnablingAgain(settings.enabling, client, office.pull)

    async def close(self) -> None:
        """Give up what is tried again."""
        await self._enabling.close()

    async def __call__(self, http: HttpRequest) -> HttpAnswer:
        """Answer one request; every failure is an ERR in words, with HTTP 200, as counters expect."""
        try:
            body = wire.write_answer(await self._answer(verbs.read_request(wire.decode(http.body))))
        except OneCardError as error:
            _log.info("a verb was answered with a failure: %s", log_text(error))
            body = _refusal(error)
        return HttpAnswer(body=body, content_type=wire.CONTENT_TYPE)

    async def _answer(self, request: Request) -> Answer:
        match request.form.direction:
            case Direction.SERVED if request.verb is Verb.NOTICE:
                return await self._notice(request)
            case Direction.SERVED if request.verb is Verb.BENEFIT_CONFIRMED:
                return await self._confirm(request)
            case Direction.SERVED:
                return await self._verify(request)
            case Direction.RELAYED:
                return await self._relay(request)
        raise OneCardError(errors_pb2.ERROR_REASON_UNSUPPORTED_TRADE, f"{request.verb} is the adapter's own to ask")

    async def _notice(self, request: Request) -> Answer:
        at = str(Verb.NOTICE)
        string = bars.read(request.values[STRING_TAG])
        is_card = card_fields.is_card(request.values["AAZ502"], self._tables, f"{at}.AAZ502")
        if not is_card and not await self._views.is_standing(string.card_number):
            return Answer(err=wire.ALREADY)
        _, changed = await self._views.look_up(string.card_number)
        return Answer(err=wire.DONE if changed else wire.ALREADY)

    async def _pull(self, number: str) -> LocalCard | None:
        card = await self._office.pull(number)
        if card is not None:
            self._enabling.consider(card, card.data.residence_area or self._area)
        return card

    async def _verify(self, request: Request) -> Answer:
        """A card of any province, read at a counter of this one."""
        string = bars.read(request.values[STRING_TAG])
        at = f"{Verb.VERIFY}.{STRING_TAG}"
        if not string.social_number or not string.card_number:
            raise card_fields.invalid(at, "missing: social number or card number")
        # A foreigner is known by the certificate, which is not on the card.
        number = request.values.get("AAC002") or string.social_number
        person = {"aac002": number, "aac058": request.values.get("AAC058", "")}
        verdict = await self._desk.verify(
            card_verdicts.question(
                card_fields.read_person(person, self._tables, str(Verb.VERIFY)),
                card_number=string.card_number,
                recognition_code=string.recognition_code,
                terminal=request.values["终端编号"],
            )
        )
        values = {
            "可用": "1" if verdict.is_valid else "0",
            "原因": card_verdicts.verdict_text(verdict.verdict),
            "数据时间": card_fields.time_text(verdict.as_of_time.ToMilliseconds()),
        }
        return Answer(err=wire.GIVEN, values=values)

    async def _confirm(self, request: Request) -> Answer:
        at = str(Verb.BENEFIT_CONFIRMED)
        person = {"aac002": request.values[NUMBER_TAG], "aac058": request.values.get("AAC058", "")}
        await self._desk.confirm_benefit_account(
            replacement_pb2.ConfirmBenefitAccountRequest(
                person=card_fields.read_person(person, self._tables, at),
                replacement_id=request.values["业务流水号"],
                bank=self._tables["bank"].to_national(request.values["服务银行"], f"{at}.服务银行").code,
            )
        )
        return Answer(err=wire.DONE)

    async def _relay(self, request: Request) -> Answer:
        concerned = _cards(request)
        try:
            return await self._client.ask(request.verb, request.values, request.table)
        finally:
            # Also after a refusal: an enabling that failed leaves the card in a state of its own.
            for number in concerned:
                await self._look_up_later(request.verb, number)

    async def _look_up_later(self, verb: Verb, number: str) -> None:
        """What a verb did is told now if it can be; if not, the office's next notice tells it."""
        try:
            await self._views.look_up(number)
        except OneCardError as error:
            _log.warning("what %s did to a card was not looked up: %s", verb, log_text(error))


def _cards(request: Request) -> list[str]:
    """Numbers of the cards that a verb may change."""
    if request.verb is Verb.RETURN and request.table is not None:
        return [line.card_number for line in read_returned(request.table) if line.is_made]
    changes = CARD_TAG in request.form.tags and request.verb not in READING
    return [request.values[CARD_TAG]] if changes else []


def _refusal(error: OneCardError) -> bytes:
    """ERR in words; an office's own that GBK cannot carry are left out, the reason never is."""
    try:
        words = error.local_text if isinstance(error, OfficeRefusal) else ""
        return wire.write_answer(Answer(err=cashier_text(error, words)))
    except OneCardError:
        return wire.write_answer(Answer(err=cashier_text(error, "")))
