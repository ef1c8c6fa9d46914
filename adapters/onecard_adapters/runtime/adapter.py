"""The adapter process: the exchange, the memory, and the local systems of its profiles.

The composition root of the province's side: the one module that knows every dialect.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator
from typing import Protocol, assert_never

from onecard.medical.v1.coverage_pb2_grpc import add_CoverageServiceServicer_to_server
from onecard.medical.v1.encounter_pb2_grpc import add_EncounterServiceServicer_to_server
from onecard.medical.v1.filing_pb2_grpc import add_FilingServiceServicer_to_server
from onecard.medical.v1.settlement_pb2_grpc import add_SettlementServiceServicer_to_server
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.cards.port import CardListing, RunningOffice
from onecard_adapters.cards.servicers import register_cards
from onecard_adapters.connectors.http import Handler, LocalHttpClient, LocalHttpServers
from onecard_adapters.dialects.bank_accounts.office import build_bank
from onecard_adapters.dialects.card_strings import served as card_strings
from onecard_adapters.dialects.card_strings.settings import CardStringsSettings
from onecard_adapters.dialects.card_tables.settings import CardTablesSettings
from onecard_adapters.dialects.cross_region_xml import cards as xml_cards
from onecard_adapters.dialects.cross_region_xml import care as xml_care
from onecard_adapters.dialects.cross_region_xml import insured as xml_insured
from onecard_adapters.dialects.cross_region_xml.cards import CrossRegionXmlCardSettings
from onecard_adapters.dialects.infno import cards as infno_cards
from onecard_adapters.dialects.infno import care as infno_care
from onecard_adapters.dialects.infno import insured as infno_insured
from onecard_adapters.dialects.infno.cards import InfnoCardSettings
from onecard_adapters.dialects.infno.settings import InfnoCareSettings, InfnoInsuredSettings
from onecard_adapters.profiles.models import CareSettings, InsuredSettings, Profile, load_profile
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.settings import AdapterSettings, invalid_configuration

_log = logging.getLogger(__name__)


class InsuredServicers(Protocol):
    """What the insured role of a dialect consists of: servicers in the shape of the generated ones."""

    @property
    def coverage(self) -> object:
        """Of CoverageService."""

    @property
    def filing(self) -> object:
        """Of FilingService."""

    @property
    def encounter(self) -> object:
        """Of EncounterService."""

    @property
    def settlement(self) -> object:
        """Of SettlementService."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a running adapter serves."""

    exchange: Exchange
    care_addresses: tuple[str, ...]
    """URLs at which places of care reach it."""
    description: str
    """One line for people."""


@contextlib.asynccontextmanager
async def running_adapter(settings: AdapterSettings) -> AsyncIterator[Served]:
    """Run the profiles of a configuration; at the end calls in progress finish first.

    Raises OneCardError CONFIGURATION_INVALID before anything is served: a setting, profile, key or file is wrong, a
    port is taken, or another adapter uses the store.
    """
    profiles = load_profiles(settings)
    exchange = Exchange.open(settings)
    memory = EdgeMemory(exchange.store, exchange.sealer)
    desk, servers = ExchangeCardDesk(exchange), LocalHttpServers()
    async with contextlib.AsyncExitStack() as stack:
        offices: list[RunningOffice] = []
        for profile in profiles:
            if profile.insured is not None:
                client = LocalHttpClient(url=str(profile.insured.core.url))
                stack.push_async_callback(client.close)
                _register(_insured(profile.insured, memory, client), exchange)
            office = _office(profile, desk, exchange, memory, servers)
            if office is not None:
                offices.append(office)
                register_cards(exchange, desk, office, is_bank=profile.bank is not None)
        await stack.enter_async_context(exchange)
        listening = [profile.care.listen for profile in profiles if profile.care is not None]
        for profile in profiles:
            if profile.care is not None:
                client = LocalHttpClient(url=str(profile.care.core.url))
                stack.push_async_callback(client.close)
                handler = _care(profile.care, memory, exchange, client)
                servers.add(profile.care.listen.host, profile.care.listen.port, profile.care.listen.path, handler)
        for office in offices:
            stack.push_async_callback(office.stop)
            await office.start()
        # Servicers call the offices, which close when none is called any more.
        stack.push_async_callback(exchange.stop_receiving)
        stack.push_async_callback(servers.stop)
        await servers.start()
        care_addresses = tuple(servers.url(listen.host, listen.port, listen.path) for listen in listening)
        addresses = [*care_addresses, *(office.address for office in offices)]
        yield Served(
            exchange=exchange,
            care_addresses=care_addresses,
            description=_description(settings, profiles, addresses),
        )


async def run_adapter(settings: AdapterSettings, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set. Raises OneCardError when the adapter cannot go on by itself."""
    async with running_adapter(settings) as served:
        _log.info("%s", served.description)
        stop = asyncio.create_task(stopping.wait())
        failed = asyncio.create_task(served.exchange.wait_failed())
        try:
            await asyncio.wait((stop, failed), return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                raise failed.result()
            _log.info("stopping: calls in progress finish first")
        finally:
            stop.cancel()
            failed.cancel()


def load_profiles(settings: AdapterSettings) -> list[Profile]:
    """The profiles of a configuration. Raises CONFIGURATION_INVALID: one is wrong, or they do not fit together."""
    profiles = [load_profile(path) for path in settings.profile_files]
    foreign = sorted({profile.participant for profile in profiles} - {settings.participant})
    if foreign:
        raise invalid_configuration(
            f"profiles of {', '.join(foreign)}: this adapter signs as {settings.participant} and serves no other"
            f" / 本适配器以 {settings.participant} 签名，不能为其他参与方服务"
        )
    if sum(profile.insured is not None for profile in profiles) > 1:
        raise invalid_configuration(
            "two profiles have the insured role: one core answers for a province"
            " / 两个配置都有参保地角色：一个省只能由一个核心系统应答"
        )
    if sum(profile.card is not None or profile.bank is not None for profile in profiles) > 1:
        raise invalid_configuration(
            "two profiles tell of cards: one desk counts a participant's versions"
            " / 两个配置都上报卡信息：一个参与方的版本只能由一处编号"
        )
    return profiles


def _care(settings: CareSettings, memory: EdgeMemory, exchange: Exchange, client: LocalHttpClient) -> Handler:
    if isinstance(settings, InfnoCareSettings):
        return infno_care.build_care(settings, memory, exchange, client)
    return xml_care.build_care(settings, memory, exchange, client)


def _insured(settings: InsuredSettings, memory: EdgeMemory, client: LocalHttpClient) -> InsuredServicers:
    if isinstance(settings, InfnoInsuredSettings):
        return infno_insured.build_insured(settings, memory, client)
    return xml_insured.build_insured(settings, memory, client)


def _office(
    profile: Profile, desk: ExchangeCardDesk, exchange: Exchange, memory: EdgeMemory, servers: LocalHttpServers
) -> RunningOffice | None:
    """What tells of cards in a profile: its card office, or the bank that it is."""
    if profile.bank is not None:
        return build_bank(profile.bank, desk, servers)
    match profile.card:
        case None:
            return None
        case CardTablesSettings() as settings:
            # Here, because most adapters read no database, and need not load what this one reads it by.
            from onecard_adapters.dialects.card_tables.office import build_office

            return build_office(settings, profile.province, desk, exchange.store)
        case CardStringsSettings() as settings:
            return card_strings.build_card_office(settings, desk, servers)
        case InfnoCardSettings() as settings:
            return infno_cards.build_card_office(settings, desk, memory, servers)
        case CrossRegionXmlCardSettings() as settings:
            return xml_cards.build_card_office(settings, desk, servers)
    assert_never(profile.card)


def card_listing(profile: Profile) -> CardListing | None:
    """All cards of a profile's card office, where it can list them. Raises CONFIGURATION_INVALID."""
    if not isinstance(profile.card, CardTablesSettings):
        return None
    from onecard_adapters.dialects.card_tables.listing import CardTablesListing

    return CardTablesListing(profile.card, profile.province)


def _register(servicers: InsuredServicers, exchange: Exchange) -> None:
    add_CoverageServiceServicer_to_server(servicers.coverage, exchange)
    add_FilingServiceServicer_to_server(servicers.filing, exchange)
    add_EncounterServiceServicer_to_server(servicers.encounter, exchange)
    add_SettlementServiceServicer_to_server(servicers.settlement, exchange)


def _description(settings: AdapterSettings, profiles: list[Profile], addresses: list[str]) -> str:
    roles = [
        f"{profile.name} as {' and '.join(name for name, role in _roles(profile) if role is not None)}"
        for profile in profiles
    ]
    served = "; ".join(roles) or "no local system"
    listening = f", local systems at {', '.join(addresses)}" if addresses else ""
    return f"adapter {settings.participant} in {settings.network} serves {served}{listening}"


def _roles(profile: Profile) -> list[tuple[str, object]]:
    return [
        (f"place of care ({profile.care.dialect})" if profile.care else "", profile.care),
        (f"insured province ({profile.insured.dialect})" if profile.insured else "", profile.insured),
        (f"issuer of cards ({profile.card.dialect})" if profile.card else "", profile.card),
        (f"bank of cards' accounts ({profile.bank.dialect})" if profile.bank else "", profile.bank),
    ]
