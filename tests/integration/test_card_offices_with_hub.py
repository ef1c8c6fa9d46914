"""Card offices and the bank, by their stubs and the adapters of the shipped profiles, at the gateway of a real hub."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from onecard.card.v1 import comparison_pb2, feed_pb2, status_pb2, values_pb2
from onecard.card.v1.comparison_pb2_grpc import CardComparisonServiceStub
from onecard.card.v1.feed_pb2_grpc import CardFeedServiceStub
from onecard.card.v1.status_pb2_grpc import CardStatusServiceStub
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.copies import CardCopies
from onecard_adapters.sdk.exchange import Exchange
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.operations.card_drift import ScopeDrift, find_drift
from onecard_broker.records.live_connection import LiveConnection
from onecard_stubs.bank.core import ACTIVE, FROZEN
from onecard_stubs.beijing.core import BeijingCardOffice
from onecard_stubs.guangxi import records
from onecard_stubs.population import Person
from tests.support.card_reports import CARDS
from tests.support.directories import MEDICAL
from tests.support.gateway import Hub, eventually_async, running_hub
from tests.support.hub_adapters import HubAdapters
from tests.support.hub_calls import hub_calls

pytest_plugins = ("tests.support.engines",)

BEIJING, GUANGDONG, GUANGXI, BANK = "cn-11", "cn-44", "cn-45", "bank-102"
Told = tuple[str, int, tuple[str, str, str]]
"""A machine of a card: the national state, its version, and the authority's own status by system, version, code."""
Act = Callable[[], Awaitable[object]]


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    participants = ("cn-00", BEIJING, GUANGDONG, GUANGXI, BANK)
    patterns = (MEDICAL, CARDS)
    async with running_hub(postgres_dsn, tmp_path / "hub", participants=participants, patterns=patterns) as running:
        yield running


class Counter:
    """Asks a gateway about one card."""

    def __init__(self, exchange: Exchange, person: exchange_values_pb2.PersonIdentity, number: str) -> None:
        self._gateway = CardStatusServiceStub(exchange.to("cn-00"))
        self._person = person
        self._number = number
        self.social: Told = ("", 0, ("", "", ""))
        self.financial = self.social

    async def look(self) -> None:
        """See how the card stands."""
        request = status_pb2.GetCardStatusRequest(
            question=status_pb2.CardQuestion(person=self._person), purpose="counter"
        )
        response = await self._gateway.GetCardStatus(request)
        assert isinstance(response, status_pb2.GetCardStatusResponse)
        for card in response.answer.cards:
            if card.card.number == self._number:
                social, financial = card.social_local_status, card.financial_local_status
                self.social = (
                    values_pb2.SocialState.Name(card.social_state).removeprefix("SOCIAL_STATE_"),
                    card.social_version,
                    (social.system, social.version, social.code),
                )
                self.financial = (
                    values_pb2.FinancialState.Name(card.financial_state).removeprefix("FINANCIAL_STATE_"),
                    card.financial_version,
                    (financial.system, financial.version, financial.code),
                )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Look until the card stands so; what was seen instead is told by the failure."""

        async def is_so() -> bool:
            await self.look()
            return condition()

        try:
            await eventually_async(is_so, timeout_s=60)
        except TimeoutError:
            pytest.fail(f"the gateway tells {self.social} and {self.financial}")


def citizen(person: Person) -> exchange_values_pb2.PersonIdentity:
    return exchange_values_pb2.PersonIdentity(number=person.identity_number)


async def live(counter: Counter, system: str, version: str, life: Sequence[tuple[Act, str, str]]) -> None:
    """Let things happen at an office, each after the gateway tells of the one before."""
    for count, (act, state, code) in enumerate(life, start=1):
        await act()
        wanted = (state, count, (system, version, code))
        await counter.until(lambda wanted=wanted: counter.social == wanted)  # type: ignore[misc]


@pytest.mark.timeout(180)
async def test_a_cards_life_at_its_office_is_told_elsewhere_in_national_and_in_its_own_terms(
    hub: Hub, tmp_path: Path
) -> None:
    adapters = await HubAdapters.of(hub, tmp_path, GUANGDONG, GUANGXI)
    async with adapters.guangdong() as (core, guangdong), adapters.guangxi() as (office, guangxi):
        cards = core.cards.columns
        card, other = next(iter(cards.cards.values())), office.office.card_of(office.population.people[0])
        told, person = {"card_number": card.number}, {"identity_number": other.person.identity_number}

        def at_the_core(status: str) -> Act:
            return functools.partial(cards.set_status, {**told, "status": status})

        def at_the_office(status: str) -> Act:
            async def act() -> None:
                office.office.change(other, status)

            return act

        # The holder in Guangxi is a foreigner, whom the exchange knows by the passport.
        other.certificate_kind, other.certificate_number = "8", "E1234567"
        passport = exchange_values_pb2.CodedValue(system="nhsa.psn_cert_type", version="1", code="08")
        foreigner = exchange_values_pb2.PersonIdentity(kind=passport, number="E1234567")

        await asyncio.gather(
            live(
                Counter(guangxi, citizen(card.person), card.number),
                "cn-44.aaz502",
                "infno-card/2024.1",
                [
                    (at_the_core("4"), "PRODUCED", "4"),
                    (at_the_core("8"), "PRODUCED", "8"),
                    (at_the_core("1"), "ACTIVE", "1"),
                    (lambda: cards.report_lost(told), "TEMPORARILY_LOST", "5"),
                    (lambda: cards.report_lost({**told, "is_formal": True}), "LOST", "2"),
                    (lambda: cards.report_found(told), "ACTIVE", "1"),
                ],
            ),
            live(
                Counter(guangdong, foreigner, other.number),
                "cn-45.aaz502",
                "card-strings/2024.1",
                [
                    (at_the_office(records.TO_COLLECT), "PRODUCED", "02"),
                    (at_the_office(records.COLLECTED), "PRODUCED", "03"),
                    (at_the_office(records.ACTIVE), "ACTIVE", "04"),
                    (lambda: office.report_lost(person), "TEMPORARILY_LOST", "06"),
                    (lambda: office.report_lost({**person, "is_formal": True}), "LOST", "05"),
                    (lambda: office.report_found(person), "ACTIVE", "04"),
                ],
            ),
        )

        # An instant-issue point in Guangxi: its verbs end the one card and begin another.
        made = await office.reissue({**person, "through_adapter": True})
        new, old = (Counter(guangdong, foreigner, number) for number in (made["card_number"], other.number))
        await new.until(lambda: (new.social[0], new.social[2][2]) == ("ACTIVE", "04"))
        await old.until(lambda: (old.social[0], old.social[2][2]) == ("SUPERSEDED", "16"))


@pytest.mark.timeout(180)
async def test_office_bank_and_registry_disagree_and_each_is_believed_of_its_own(hub: Hub, tmp_path: Path) -> None:
    adapters = await HubAdapters.of(hub, tmp_path, BEIJING, GUANGXI, BANK)
    database = {"url": f"sqlite:///{tmp_path / 'beijing.sqlite'}", "key_file": str(tmp_path / "columns.key")}
    beijing = BeijingCardOffice(database["url"], Path(database["key_file"]), holders=2, reserve=1)
    person = beijing.population.people[0]
    who, number = {"identity_number": person.identity_number}, person.card_number
    await beijing.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(beijing.stop)
        bank, _ = await stack.enter_async_context(adapters.bank())
        office, guangxi = await stack.enter_async_context(adapters.guangxi())
        counter = Counter(guangxi, citizen(person), number)
        card = values_pb2.CardReference(issuer=BEIJING, number=number, sequence=1)
        guangxis = CopyElsewhere(guangxi, GUANGXI, card)

        # The card is in use, its account too, and Guangxi follows its holder.
        async with adapters.running(BEIJING, database=database):
            await counter.until(lambda: counter.social[:2] == ("ACTIVE", 1))
            await bank.open({"cards": [{**who, "issue_prov": "11", "card_number": number}], "status": ACTIVE})
            await counter.until(lambda: counter.financial[:2] == ("ACTIVE", 1))
            follow = feed_pb2.FollowPersonRequest(person=citizen(person), purpose="benefit-payment")
            await CardFeedServiceStub(guangxi.to("cn-00")).FollowPerson(follow, timeout=20)

        # Nobody tells: the card is lost at its office, which holds its account for usable and the registry for content;
        # the account is frozen at the bank; the registry has both in use.
        await beijing.report_lost({**who, "is_formal": True})
        await beijing.disagree({**who, "aac019": 1, "ckkstatus": "1"})
        await bank.set_status({"card_number": number, "status": FROZEN, "is_told": False})
        await counter.look()
        (local,) = (await beijing.show(who))["cards"]
        assert (local["aaz502"], local["aac019"], local["ckkstatus"]) == (2, 1, "1")
        assert [account.status for account in bank.accounts.values()] == [FROZEN]
        assert (counter.social[:2], counter.financial[:2]) == (("ACTIVE", 1), ("ACTIVE", 1))

        # The registry becomes what each authority says of its own machine; the copy elsewhere is told.
        async with adapters.running(BEIJING, database=database):
            await bank.hourly_batch({"repeats": 2, "seed": 1})
            lost = ("LOST", 2, ("cn-11.aaz502", "card-tables/2024.1", "2"))
            frozen = ("FROZEN", 2, ("bank-102.acctStatus", "bank-accounts/2024.1", FROZEN))
            await counter.until(lambda: (counter.social, counter.financial) == (lost, frozen))
            await guangxis.until(social=2, financial=2)
        copy = office.office.books.copies[BEIJING, number]
        assert (copy["AAZ502"], copy["YKZ514"]) == (records.LOST, "2")

        # What is put back in Guangxi to what was before, in its adapter and at its office, is found by comparison.
        await guangxis.put_back()
        copy.update(AAZ502=records.ACTIVE, YKZ514="1")
        found, nothing = await drift(hub, is_repairing=True), await drift(hub, is_repairing=False)
        assert (found.found, found.repaired) == ({"other-version": 1}, {"other-version": 1})
        assert (nothing.found, nothing.here_count, nothing.there_count) == ({}, 1, 1)
        copy = office.office.books.copies[BEIJING, number]
        assert (copy["AAZ502"], copy["YKZ514"]) == (records.LOST, "2")
        # Nobody but the office writes what it holds of the two others.
        assert (await beijing.show(who))["cards"] == [local]


class CopyElsewhere:
    """What the adapter of a province that follows the holder keeps of a card."""

    def __init__(self, exchange: Exchange, participant: str, card: values_pb2.CardReference) -> None:
        self._store = exchange.store
        self._copies = CardCopies(exchange.sealer, participant)
        self._card = card
        self._copy = comparison_pb2.CopiedCard()

    async def until(self, *, social: int, financial: int) -> None:
        """Look until it has these versions."""

        async def is_so() -> bool:
            copy = await self._store.run(lambda connection: self._copies.find(connection, self._card))
            self._copy = copy or self._copy
            return (self._copy.social_version, self._copy.financial_version) == (social, financial)

        await eventually_async(is_so)

    async def put_back(self) -> None:
        """Let it say that card and account are in use, as it did once."""
        self._copy.social_state, self._copy.social_version = values_pb2.SOCIAL_STATE_ACTIVE, 1
        self._copy.financial_state, self._copy.financial_version = values_pb2.FINANCIAL_STATE_ACTIVE, 1
        await self._store.run(lambda connection: self._copies.put(connection, self._copy, BANK))


async def drift(hub: Hub, *, is_repairing: bool) -> ScopeDrift:
    """What Guangxi follows, compared with the registry."""
    database = LiveConnection(hub.dsn, application_name="test drift")
    try:
        directory = await DirectoryStore(database).load()
        async with hub_calls(hub, directory) as calls:
            stub = CardComparisonServiceStub(calls.to(GUANGXI))
            _, followed = await find_drift(GUANGXI, stub, database, directory, is_repairing=is_repairing, settle_s=0)
            return followed
    finally:
        await database.close()
