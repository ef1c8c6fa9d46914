"""The adapter of a card office or a bank, of the product's parts, at a hub that runs in the test; what the hub has."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from onecard.card.v1 import change_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_adapters.cards.changes import method_of
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.cards.port import Change, LocalAccount, LocalCard
from onecard_adapters.cards.servicers import register_cards
from onecard_adapters.sdk.exchange import Exchange
from onecard_broker.admission.subject import Subjects
from onecard_broker.domain.card_state import Card, Machine, card_key, holder_key
from onecard_broker.journal import JOURNAL_TOPIC, inbox_topic
from onecard_broker.log.cloud_events import decode
from onecard_broker.operations.log_window import LogWindow
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import connect
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import HUB
from onecard_protocol.identity import normalise_identity
from tests.support.card_copies import NotingOffice
from tests.support.card_reports import card, financial_report, local_view, social_report
from tests.support.gateway import METHODS, PARTITION_COUNT, Hub, eventually, eventually_async, running_hub
from tests.support.holders import REQUEST_VERSIONS
from tests.support.hub_provinces import exchange_of
from tests.support.messages import citizen_number, make_signed, person

_SUBJECTS: Final = Subjects(bytes(32), PARTITION_COUNT)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who tells one machine of the cards."""

    participant: str
    machine: change_pb2.CardMachine

    @property
    def method(self) -> str:
        """By which it tells."""
        return method_of(self.machine)

    def report(
        self, state: str, version: int = 1, *, serial: int = 991, change: str = "DATA_CHANGED", at_ms: int | None = None
    ) -> Change:
        """What it tells of a card, by default of now; the names are those of its machine."""
        at_ms = now_ms() if at_ms is None else at_ms
        if self.machine == change_pb2.CARD_MACHINE_FINANCIAL:
            return financial_report(
                serial,
                version=version,
                change=getattr(change_pb2, f"FINANCIAL_CHANGE_{change}"),
                state=getattr(values_pb2, f"FINANCIAL_STATE_{state}"),
                at_ms=at_ms,
            )
        return social_report(
            serial,
            version=version,
            change=getattr(change_pb2, f"SOCIAL_CHANGE_{change}"),
            state=getattr(values_pb2, f"SOCIAL_STATE_{state}"),
            at_ms=at_ms,
        )


ISSUER: Final = Authority(participant="cn-11", machine=change_pb2.CARD_MACHINE_SOCIAL)
BANK: Final = Authority(participant="bank-102", machine=change_pb2.CARD_MACHINE_FINANCIAL)


@dataclasses.dataclass(slots=True, kw_only=True)
class CardAdapter:
    """Its local system is an office that shows what the test lets it show."""

    exchange: Exchange
    desk: ExchangeCardDesk
    office: NotingOffice

    def put(self, *rows: Change) -> list[LocalCard | LocalAccount]:
        """The local system has these now, and nobody looks."""
        seen = [local_view(row) for row in rows]
        self.office.cards |= {local.card.number: local for local in seen}
        return seen

    async def show(self, *rows: Change) -> int:
        """The local system has these now, and the desk sees them; returns how many changes it told."""
        seen = self.put(*rows)
        changed_count = 0

        async def is_taken() -> bool:
            nonlocal changed_count
            try:
                changed_count += await self.desk.observe(seen)
            except OneCardError as error:
                if error.reason != errors_pb2.ERROR_REASON_HUB_NOT_READY:
                    raise
                return False  # The gateway has not heard of every partition yet: an adapter looks again.
            return True

        await eventually_async(is_taken)
        return changed_count


@contextlib.asynccontextmanager
async def card_hub(dsn: str, directory: Path) -> AsyncIterator[Hub]:
    """A hub whose worker knows already to whom changes of cards are passed on."""
    participants = (HUB, ISSUER.participant, BANK.participant, "cn-44")
    async with running_hub(dsn, directory, participants=participants, patterns=("/onecard.*",)) as hub:
        await eventually(lambda: hub.worker.has_applied(hub.gateways[0]._directory.directory.version))
        yield hub


@contextlib.asynccontextmanager
async def card_adapter(hub: Hub, directory: Path, authority: Authority, *rows: Change) -> AsyncIterator[CardAdapter]:
    """It runs beside a local system with these rows, on the store of this directory, new or as a former one left it."""
    exchange, office = exchange_of(hub, directory, authority.participant), NotingOffice()
    desk = ExchangeCardDesk(exchange)
    register_cards(exchange, desk, office, is_bank=authority is BANK)
    adapter = CardAdapter(exchange=exchange, desk=desk, office=office)
    adapter.put(*rows)
    async with exchange:
        await exchange.wait_ready()
        yield adapter


async def tell(hub: Hub, authority: Authority, *reports: Change) -> None:
    """Submit reports as a program without an adapter would."""
    for report in reports:
        signed = make_signed(
            hub.signers[authority.participant],
            report,
            now_ms=now_ms(),
            sender=authority.participant,
            recipient=HUB,
            method=authority.method,
            kind=message_pb2.MESSAGE_KIND_EVENT,
        )
        (result,) = await hub.submit(authority.participant, signed)
        assert result.HasField("receipt"), result


async def know_the_card(hub: Hub, authority: Authority, *serials: int, change: str = "DATA_CHANGED") -> None:
    """Let the issuer tell of the cards where the authority is a bank, which cannot be the first to tell.

    By default it is not the card's birth that it tells, after which a bank may have to tell of the account again.
    """
    if authority is BANK:
        for serial in serials or (991,):
            await tell(hub, ISSUER, ISSUER.report("ACTIVE", serial=serial, change=change))
            await machine_at(hub, ISSUER, 1, serial=serial)


async def registered(hub: Hub, serial: int = 991) -> Card | None:
    """The synthetic person's card, as the registry has it."""
    subject = _SUBJECTS.pseudonym(normalise_identity("", citizen_number(serial)))
    key = _SUBJECTS.partition_of_pseudonym(subject), holder_key(subject)
    async with await connect(hub.dsn, application_name="test") as connection:
        holder = (await CardRegistry().load(connection, [key])).get(key)
    return None if holder is None else holder.find(card_key(card(serial)))


async def machine_at(
    hub: Hub, authority: Authority, version: int, *, late_count: int = 0, serial: int = 991
) -> Machine:
    """The authority's machine of the card, once it has this version and counted so many reports as late."""
    found = Machine()

    async def is_there() -> bool:
        nonlocal found
        known = await registered(hub, serial) or Card(issuer="", number="", sequence=1)
        found = known.financial if authority is BANK else known.social
        return (found.version, found.late_count) >= (version, late_count)

    await eventually_async(is_there)
    assert (found.version, found.late_count) == (version, late_count)
    return found


async def told_version(adapter: CardAdapter, authority: Authority, version: int, *, serial: int = 991) -> None:
    """Return once the gateway tells this version of the authority's machine of the card."""
    question = status_pb2.CardQuestion(person=person(serial), card=card(serial))

    async def is_told() -> bool:
        (answer,) = await adapter.desk.statuses([question], purpose="version-recovery")
        versions = [one.financial_version if authority is BANK else one.social_version for one in answer.cards]
        return versions == [version]

    await eventually_async(is_told)


async def journaled(hub: Hub, authority: Authority) -> list[int]:
    """The versions of its reports, in the order of the journal where all are about one person."""
    return [report.version for report in await _messages(hub, JOURNAL_TOPIC, authority.method)]


async def questions(hub: Hub, authority: Authority) -> list[tuple[int, int, int]]:
    """(machine, first version, last version) of each question for versions in its inbox."""
    asked = await _messages(hub, inbox_topic(authority.participant), REQUEST_VERSIONS)
    return [(one.machine, one.first_version, one.last_version) for one in asked]


async def refusals(hub: Hub, authority: Authority) -> list[str]:
    """The reasons of the refusals in its inbox."""
    kind, topic = message_pb2.MESSAGE_KIND_REJECTION, inbox_topic(authority.participant)
    return [reason_name(one.reason) for one in await _messages(hub, topic, authority.method, kind)]


async def _messages(
    hub: Hub, topic: str, method: str, kind: message_pb2.MessageKind = message_pb2.MESSAGE_KIND_EVENT
) -> list[Any]:
    message_class = message_pb2.Rejection if kind == message_pb2.MESSAGE_KIND_REJECTION else METHODS[method].input_class
    window, found = LogWindow(hub.log), []
    try:
        async for record in window.topic(topic):
            event = decode(record)
            header = message_pb2.MessageHeader.FromString(event.header)
            if event.header and (header.method, header.kind) == (method, kind):
                found.append(message_class.FromString(event.data))
    finally:
        await window.close()
    return found
