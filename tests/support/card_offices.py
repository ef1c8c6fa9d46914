"""Card offices and a bank over their stubs: dialects against real HTTP on loopback, with a desk that keeps all."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from onecard.card.v1 import change_pb2, replacement_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters import profiles
from onecard_adapters.cards.changes import ENDED, content_of
from onecard_adapters.cards.port import CardDesk, LocalAccount, LocalCard
from onecard_adapters.connectors.http import LocalHttpServers
from onecard_adapters.dialects.card_strings.served import build_card_office
from onecard_adapters.dialects.card_strings.settings import CardStringsSettings
from onecard_adapters.dialects.served_office import ServedOffice
from onecard_stubs.guangxi.core import GuangxiCardOffice

CODES = Path(profiles.__file__).parent / "codes"


class KeepingDesk:
    """Is a CardDesk: what changed in content is kept in order; verdicts are those that the test sets by card number."""

    def __init__(self) -> None:
        self.told: list[LocalCard | LocalAccount] = []
        self.verdicts: dict[str, status_pb2.CardVerdict] = {}
        self.questions: list[status_pb2.VerifyCardRequest] = []
        self.confirmed: list[replacement_pb2.ConfirmBenefitAccountRequest] = []
        self.failure: Exception | None = None
        self._known: dict[tuple[str, str, int, bool], bytes] = {}

    async def observe(self, seen: Sequence[LocalCard | LocalAccount]) -> int:
        """See `CardDesk`."""
        if self.failure is not None:
            raise self.failure
        changed = 0
        for local in seen:
            card = local.card
            key = (card.issuer, card.number, card.sequence, isinstance(local, LocalCard))
            content = content_of(local).SerializeToString(deterministic=True)
            if self._known.get(key) != content:
                self._known[key] = content
                self.told.append(local)
                changed += 1
        return changed

    async def unended(self, number: str) -> list[change_pb2.ReportSocialChangeRequest]:
        """See `CardDesk`."""
        last = {local.card.sequence: local for local in self.told if local.card.number == number}
        found = [content_of(local) for local in last.values() if isinstance(local, LocalCard)]
        return [
            event
            for event in found
            if isinstance(event, change_pb2.ReportSocialChangeRequest) and event.state not in ENDED
        ]

    async def verify(self, request: status_pb2.VerifyCardRequest) -> status_pb2.VerifyCardResponse:
        """See `CardDesk`."""
        if self.failure is not None:
            raise self.failure
        self.questions.append(request)
        verdict = self.verdicts.get(request.card_number, status_pb2.CARD_VERDICT_UNKNOWN_CARD)
        response = status_pb2.VerifyCardResponse(is_valid=verdict == status_pb2.CARD_VERDICT_VALID, verdict=verdict)
        response.as_of_time.FromMilliseconds(1_710_000_000_000)
        return response

    async def statuses(
        self, questions: Sequence[status_pb2.CardQuestion], *, purpose: str
    ) -> list[status_pb2.CardAnswer]:
        """See `CardDesk`; no dialect asks."""
        raise NotImplementedError

    async def confirm_benefit_account(self, request: replacement_pb2.ConfirmBenefitAccountRequest) -> None:
        """See `CardDesk`."""
        if self.failure is not None:
            raise self.failure
        self.confirmed.append(request)

    def states(self, number: str) -> list[str]:
        """The states of a card or its account in the order in which they were told."""
        return [
            (
                values_pb2.SocialState.Name(local.state).removeprefix("SOCIAL_STATE_")
                if isinstance(local, LocalCard)
                else values_pb2.FinancialState.Name(local.state).removeprefix("FINANCIAL_STATE_")
            )
            for local in self.told
            if local.card.number == number
        ]


def step_request(
    step: str,
    *,
    number: str,
    old: tuple[str, str],
    new: tuple[str, str],
    direction: replacement_pb2.StepDirection = replacement_pb2.STEP_DIRECTION_FORWARD,
) -> replacement_pb2.CarryOutStepRequest:
    """A step of replacement 0123…; cards are (issuer, number)."""
    return replacement_pb2.CarryOutStepRequest(
        person=exchange_values_pb2.PersonIdentity(number=number),
        replacement_id="0123456789abcdef" * 2,
        step=getattr(replacement_pb2, f"REPLACEMENT_STEP_{step}"),
        direction=direction,
        old_card=values_pb2.CardReference(issuer=old[0], number=old[1], sequence=1),
        new_card=values_pb2.CardReference(issuer=new[0], number=new[1], sequence=1),
    )


@contextlib.asynccontextmanager
async def running(office: ServedOffice, servers: LocalHttpServers) -> AsyncIterator[str]:
    """The office and its server; gives the address."""
    await office.start()
    await servers.start()
    try:
        yield office.address
    finally:
        await servers.stop()
        await office.stop()


@contextlib.asynccontextmanager
async def guangxi(desk: CardDesk, **settings: Any) -> AsyncIterator[tuple[GuangxiCardOffice, ServedOffice]]:
    """Guangxi's card office and its dialect, each knowing where the other is."""
    stub = GuangxiCardOffice()
    await stub.start()
    servers = LocalHttpServers()
    office = build_card_office(guangxi_settings(stub.url, **settings), desk, servers)
    try:
        async with running(office, servers) as address:
            stub.adapter_url = address
            yield stub, office
    finally:
        await stub.stop()


def guangxi_settings(url: str, **changes: Any) -> CardStringsSettings:
    """Settings against an office at this address."""
    return CardStringsSettings.model_validate(
        {
            "dialect": "card-strings",
            "listen": {"port": 0, "path": "/card"},
            "core": {"url": url, "user": "USER", "password": "PASS"},
            "keeps_copies": True,
            "enabling": {"statuses": ["14", "待激活"], "delays_ms": [20, 50]},
            "code_tables": CODES / "card-strings.yaml",
            "area": "450000",
            **changes,
        }
    )


def told_of_a_foreigner(
    event: object, social_security_number: str, certificate_serial: str
) -> change_pb2.ReportSocialChangeRequest:
    """The change, once it is told under passport E1234567, with the card's number and what the stub's chips hold."""
    assert isinstance(event, change_pb2.ReportSocialChangeRequest)
    assert (event.person.kind.system, event.person.kind.code) == ("nhsa.psn_cert_type", "08")
    assert event.person.number == "E1234567"
    assert event.holder.social_security_number == social_security_number
    assert event.data.certificate_serial == certificate_serial != ""
    assert (event.data.specification_version, event.data.is_contactless) == ("3.00", True)
    return event
