"""The card office behind its tables: reads what was updated, and does what replacements ask for."""

from __future__ import annotations

import asyncio
import functools
import logging
import traceback
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

from onecard.card.v1 import replacement_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import CardDesk, Change, LocalCard, NotTakenError
from onecard_adapters.connectors.database import Database
from onecard_adapters.connectors.table_reader import Pace, Row, TableReader
from onecard_adapters.dialects.card_tables import steps, tables
from onecard_adapters.dialects.card_tables.rows import RowMapping, read_row
from onecard_adapters.dialects.card_tables.settings import CardTablesSettings
from onecard_adapters.dialects.card_tables.steps import Steps
from onecard_adapters.runtime.context import Refused
from onecard_adapters.runtime.store import Store
from onecard_adapters.sdk.failures import may_be_sent_again
from onecard_protocol.errors import OneCardError, policy, reason_name

_STEP_POLL_S: Final = 0.1
_REGISTRY_POLL_S: Final = 1.0
_PURPOSE: Final = "replacement"
_CONFIRM_RETRY_S: Final = 5.0

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class CardTablesOffice:
    """Is a RunningOffice."""

    def __init__(self, settings: CardTablesSettings, issuer: str, desk: CardDesk, store: Store) -> None:
        """Raises CONFIGURATION_INVALID: a code table, the key or the URL is wrong."""
        self._desk = desk
        self._issuer = issuer
        self._step_wait_s = settings.step_wait_ms / 1_000
        self._mapping = RowMapping(settings, issuer)
        self._steps = Steps(settings, self._mapping, issuer)
        self._database = Database(settings.database.url.get_secret_value())
        self.reader = TableReader(
            source="card_status",
            database=self._database,
            store=store,
            feeds=tables.card_feeds(self._mapping.made),
            pace=Pace(
                interval_s=settings.database.poll_interval_ms / 1_000,
                late_s=settings.database.late_ms / 1_000,
                overlap_s=settings.database.overlap_s,
                overlap_every_s=settings.database.overlap_every_s,
                page_rows=settings.database.page_rows,
            ),
            take=self._take,
        )
        self._page_rows = settings.database.page_rows
        self._interval_s = settings.database.poll_interval_ms / 1_000
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def address(self) -> str:
        """The database, without its password."""
        return self._database.address

    async def start(self) -> None:
        """Read from now on."""
        self._tasks = [
            asyncio.create_task(self.reader.run(), name="card tables"),
            asyncio.create_task(self._confirm(), name="card tables: benefit accounts"),
        ]

    async def stop(self) -> None:
        """Read no more, and disconnect."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._database.close()

    async def carry_out(self, request: replacement_pb2.CarryOutStepRequest) -> replacement_pb2.CarryOutStepResponse:
        """See `CardOffice`.

        Raises REFUSED_BY_LOCAL_SYSTEM with the local reason, CARD_UNKNOWN for a card of another person,
        LOCAL_SYSTEM_DOWN while the step is not worked off, and what the registry's answer raises.
        """
        deadline_s = asyncio.get_running_loop().time() + self._step_wait_s
        if not await self._database.run(lambda connection: self._steps.is_holder(connection, request)):
            await self._check_linked(request, deadline_s)
        while True:
            response = await self._database.run(lambda connection: self._steps.carry_out(connection, request))
            if isinstance(response, Refused):
                raise response
            if response is not None:
                return response
            if asyncio.get_running_loop().time() >= deadline_s:
                raise OneCardError(
                    errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, "the local system has not worked the step off yet"
                )
            await asyncio.sleep(_STEP_POLL_S)

    async def _check_linked(self, request: replacement_pb2.CarryOutStepRequest, deadline_s: float) -> None:
        """The old card stands here under another number: the person has it if the registry knows it as the person's.

        The registry may answer some two seconds late (`FRESHNESS_STALE`), so it is asked until the deadline.
        """
        question = status_pb2.CardQuestion(person=request.person, card=request.old_card)
        while True:
            [answer] = await self._desk.statuses([question], purpose=_PURPOSE)
            if any(card.social_state != values_pb2.SOCIAL_STATE_CANCELLED for card in answer.cards):
                return
            if asyncio.get_running_loop().time() >= deadline_s:
                break
            await asyncio.sleep(_REGISTRY_POLL_S)
        if answer.freshness != status_pb2.FRESHNESS_FRESH:
            raise OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY, "the registry cannot tell whose the old card is")
        raise OneCardError(errors_pb2.ERROR_REASON_CARD_UNKNOWN, "the old card is another person's here")

    async def tell(self, change: Change) -> None:
        """Nothing: these tables hold the office's own cards, and copies of no others."""

    async def find(self, card: values_pb2.CardReference) -> LocalCard | None:
        """See `CardOffice`."""
        if card.issuer != self._issuer:
            return None
        statement = tables.one_card(self._mapping.made, card.number, card.sequence or 1)
        row = await self._database.run(lambda connection: connection.execute(statement).mappings().first())
        return None if row is None else self._mapping.card(row["row_key"], {name: row[name] for name in row})

    async def _confirm(self) -> None:
        """Tell what agencies confirm, for ever; what is taken or refused for good is marked so in the tables.

        Behind a full page comes the next one: what stays on it, since it cannot be told now, keeps nothing back.
        """
        after = ""
        while True:
            read = functools.partial(self._steps.confirmed, after=after)
            requests = await _attempt(self._database.run(read))
            after = requests[-1].replacement_id if requests and len(requests) == steps.CONFIRMED_MAX else ""
            told = [await _attempt(self._tell_confirmed(request)) for request in requests or ()]
            is_whole = requests is not None and None not in told
            await asyncio.sleep(self._interval_s if is_whole else max(self._interval_s, _CONFIRM_RETRY_S))

    async def _tell_confirmed(self, request: replacement_pb2.ConfirmBenefitAccountRequest) -> bool:
        refused: OneCardError | None = None
        try:
            await self._desk.confirm_benefit_account(request)
        except OneCardError as error:
            if may_be_sent_again(error) or error.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN:
                raise
            refused = error
        await self._database.run(lambda connection: self._steps.told(connection, request.replacement_id, refused))
        return True

    async def _take(self, page: Sequence[tuple[int, Row]]) -> dict[int, OneCardError]:
        """Rows that cannot be mapped, or told, keep no others from being told."""
        refused: dict[int, OneCardError] = {}
        cards: list[tuple[int, LocalCard]] = []
        for key, row in page:
            card, error = await read_row(self._mapping, self._desk, key, row)
            if error is not None:
                refused[key] = error
            if card is not None:
                cards.append((key, card))
        try:
            await self._desk.observe([card for _, card in cards])
        except NotTakenError as error:
            # Nothing of a full page: the hub tells nothing now, and reading waits for it. Else the others go on.
            if len(error.left) == self._page_rows:
                raise
            left = set(map(id, error.left))
            refused |= {key: error for key, card in cards if id(card) in left}
        except OneCardError as error:
            if policy(error.reason).retryable:
                raise
            refused |= await self._take_one_by_one(cards)
        return refused

    async def _take_one_by_one(self, cards: Sequence[tuple[int, LocalCard]]) -> dict[int, Any]:
        refused: dict[int, OneCardError] = {}
        for key, card in cards:
            try:
                await self._desk.observe([card])
            except OneCardError as error:
                if policy(error.reason).retryable:
                    raise
                refused[key] = error
        return refused


async def _attempt(work: Awaitable[_Result]) -> _Result | None:
    """Its result; None where it failed, which is logged and keeps nothing else from being done."""
    try:
        return await work
    except OneCardError as error:
        _log.error("benefit accounts: %s %s", reason_name(error.reason), error.detail)
    except Exception as error:
        # The text of an unforeseen error may quote a row: only its kind and place are logged.
        place = "".join(traceback.format_tb(error.__traceback__))
        _log.error("benefit accounts failed: %s\n%s", type(error).__name__, place)
    return None


def build_office(settings: CardTablesSettings, issuer: str, desk: CardDesk, store: Store) -> CardTablesOffice:
    """The office of a profile, to be started when the exchange is entered. Raises CONFIGURATION_INVALID."""
    return CardTablesOffice(settings, issuer, desk, store)
