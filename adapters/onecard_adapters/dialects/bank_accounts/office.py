"""A bank for the exchange: which accounts changed, and how one stands now.

A notice names accounts, one or a batch that an employer opened; whatever it says of them, the core is asked how they
stand, because notices come late, again and in any order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from onecard.card.v1 import replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import CardDesk, Change, LocalAccount
from onecard_adapters.connectors.http import HttpAnswer, HttpRequest, LocalHttpClient, LocalHttpServers
from onecard_adapters.dialects.bank_accounts import wire
from onecard_adapters.dialects.bank_accounts.settings import BankAccountsSettings
from onecard_adapters.dialects.card_fields import invalid
from onecard_adapters.dialects.cashier_text import cashier_text, log_text
from onecard_adapters.dialects.served_office import Built, ServedOffice
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

CONTENT_TYPE: Final = "application/json; charset=utf-8"

_log = logging.getLogger(__name__)


def build_bank(settings: BankAccountsSettings, desk: CardDesk, servers: LocalHttpServers) -> ServedOffice:
    """The bank of a profile; CONFIGURATION_INVALID if its code tables do not load."""
    tables = settings.tables()

    def build(http: LocalHttpClient) -> Built:
        bank = BankOffice(settings.participant, tables, http)
        return bank, ServedBank(desk, bank)

    return ServedOffice(servers, listen=settings.listen, url=str(settings.core.url), build=build)


class BankOffice:
    """Is a CardOffice; steps of replacements are none of a bank's: its holder moves the balance (domain.md 2.4)."""

    def __init__(self, participant: str, tables: CodeTables, http: LocalHttpClient) -> None:
        self._participant = participant
        self._tables = tables
        self._http = http

    async def carry_out(self, request: replacement_pb2.CarryOutStepRequest) -> replacement_pb2.CarryOutStepResponse:
        """Raises UNSUPPORTED_TRADE."""
        raise OneCardError(errors_pb2.ERROR_REASON_UNSUPPORTED_TRADE, "a bank carries out no step of a replacement")

    async def tell(self, change: Change) -> None:
        """The core keeps no copies."""

    async def find(self, card: values_pb2.CardReference) -> LocalAccount | None:
        """The card's account as it stands now; None if the bank has none of it."""
        found, refused = await self.pull([card])
        if refused:
            raise refused[0]
        return found[0] if found else None

    async def pull(self, cards: Sequence[values_pb2.CardReference]) -> tuple[list[LocalAccount], list[OneCardError]]:
        """The accounts of these cards as they stand now, and why the others that came cannot be taken.

        Raises LOCAL_SYSTEM_DOWN where the core does not answer.
        """
        request = wire.write_request(wire.QUERY, {"cards": [wire.write_card(card) for card in cards]})
        try:
            received = await self._http.post(request, content_type=CONTENT_TYPE)
        except OutcomeInDoubt as error:
            raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, error.detail) from error
        asked = {_key(card) for card in cards}
        found: list[LocalAccount] = []
        refused: list[OneCardError] = []
        for index, row in enumerate(wire.rows(wire.read_answer(received.body), "accounts")):
            at = f"accounts[{index}]"
            try:
                account = wire.read_account(row, self._tables, self._participant, at)
                if _key(account.card) not in asked:
                    raise invalid(at, "of a card that was not asked for")
            except OneCardError as error:
                refused.append(error)
            else:
                found.append(account)
        return found, refused


class ServedBank:
    """The handler of the profile's path."""

    def __init__(self, desk: CardDesk, bank: BankOffice) -> None:
        self._desk = desk
        self._bank = bank
        # Views are taken in the order in which the core gave them.
        self._turn = asyncio.Lock()

    async def __call__(self, http: HttpRequest) -> HttpAnswer:
        """Answer one request."""
        try:
            code, content = wire.read_request(http.body)
            if code != wire.NOTICE:
                raise OneCardError(errors_pb2.ERROR_REASON_UNSUPPORTED_TRADE, f"tranCode {code[:8]}")
            body = wire.write_answer(wire.SUCCESS, "", {"changedCount": await self._notice(content)})
        except OneCardError as error:
            _log.info("a bank's notice was answered with a failure: %s", log_text(error))
            body = wire.write_answer(wire.FAILED, cashier_text(error, ""), {})
        return HttpAnswer(body=body, content_type=CONTENT_TYPE)

    async def _notice(self, content: wire.Row) -> int:
        cards = [wire.read_card(row, f"accounts[{index}]") for index, row in enumerate(wire.rows(content, "accounts"))]
        if not cards:
            return 0
        async with self._turn:
            found, refused = await self._bank.pull(cards)
            changed_count = await self._desk.observe(found)
        for error in refused:
            _log.error("an account of the bank was not taken: %s", log_text(error))
        if refused:
            raise refused[0]
        return changed_count


def _key(card: values_pb2.CardReference) -> tuple[str, str, int]:
    return card.issuer, card.number, card.sequence or 1
