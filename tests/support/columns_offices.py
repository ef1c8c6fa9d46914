"""The card offices of Guangdong and Sichuan over their stubs, one and the same to a test but for the envelope."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from onecard_adapters.cards.port import CardDesk
from onecard_adapters.connectors.http import LocalHttpServers
from onecard_adapters.dialects.cross_region_xml import cards as xml_cards
from onecard_adapters.dialects.cross_region_xml.cards import CrossRegionXmlCardSettings
from onecard_adapters.dialects.infno import cards as infno_cards
from onecard_adapters.dialects.infno.cards import InfnoCardSettings
from onecard_adapters.dialects.served_office import ServedOffice
from onecard_stubs.behaviour import Behaviours
from onecard_stubs.card_columns import ColumnsCards
from onecard_stubs.guangdong.cards import PATH as GUANGDONG_PATH
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.population import Population
from onecard_stubs.sichuan.cards import PATH as SICHUAN_PATH
from onecard_stubs.sichuan.core import SichuanCore
from tests.support.card_offices import CODES, running
from tests.support.edge_memory import edge_memory

ISSUERS = {"guangdong": "cn-44", "sichuan-text": "cn-51", "sichuan-binary": "cn-51"}
STEP_TRADES = {"guangdong": "K202", "sichuan-text": "0912", "sichuan-binary": "0912"}
FIRST_STATUSES = {"guangdong": ("4", "8", "1"), "sichuan-text": ("0", "5", "1"), "sichuan-binary": ("0", "5", "1")}
"""The core's statuses of a card that is made, handed out and enabled."""
QUERY_TRADES = {"guangdong": "K201", "sichuan-text": "0911", "sichuan-binary": "0911"}

Opened = tuple[ColumnsCards, Behaviours, ServedOffice]


@contextlib.asynccontextmanager
async def columns_office(place: str, desk: CardDesk, directory: Path) -> AsyncIterator[Opened]:
    """The cards of a place, its switches, and its dialect, each knowing where the other is."""
    opening = _guangdong(desk, directory) if place == "guangdong" else _sichuan(desk, place)
    async with opening as opened:
        yield opened


@contextlib.asynccontextmanager
async def _guangdong(desk: CardDesk, directory: Path) -> AsyncIterator[Opened]:
    core = GuangdongCore(requires_sign_in=True)
    await core.start()
    servers = LocalHttpServers()
    try:
        async with edge_memory(directory) as memory:
            office = infno_cards.build_card_office(guangdong_settings(core.url), desk, memory, servers)
            async with running(office, servers) as address:
                core.adapter_url = address
                yield core.cards.columns, core.behaviours, office
    finally:
        await core.stop()


@contextlib.asynccontextmanager
async def _sichuan(desk: CardDesk, place: str) -> AsyncIterator[Opened]:
    operation = "STYDJKService" if place == "sichuan-text" else "DataExchangeServiceEnc"
    core = SichuanCore(Population(), operation=operation)
    await core.start()
    servers = LocalHttpServers()
    try:
        office = xml_cards.build_card_office(sichuan_settings(core.url, operation), desk, servers)
        async with running(office, servers) as address:
            core.adapter_url = address
            yield core.cards.columns, core.behaviours, office
    finally:
        await core.stop()


def guangdong_settings(url: str) -> InfnoCardSettings:
    """Settings against a core at this address."""
    return InfnoCardSettings.model_validate(
        {
            "dialect": "infno",
            "listen": {"port": 0, "path": GUANGDONG_PATH},
            "core": {"url": url, "sign_in": {"code": "S44000099901", "ended_codes": ["-3"]}},
            "organisation_code": "S44000099901",
            "keeps_copies": True,
            "code_tables": CODES / "infno-card.yaml",
            "area": "440000",
        }
    )


def sichuan_settings(url: str, operation: str) -> CrossRegionXmlCardSettings:
    """Settings against a core at this address."""
    return CrossRegionXmlCardSettings.model_validate(
        {
            "dialect": "cross-region-xml",
            "listen": {"port": 0, "path": SICHUAN_PATH},
            "core": {"url": url, "operation": operation},
            "keeps_copies": True,
            "code_tables": CODES / "cross-region-card.yaml",
            "area": "510000",
        }
    )
