"""Adapters as their processes run them, from the shipped profiles, against a hub that runs in the test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from onecard_adapters.runtime.adapter import running_adapter
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.settings import load_adapter_settings
from onecard_stubs.bank.core import PATH as BANK_PATH
from onecard_stubs.bank.core import BankCore
from onecard_stubs.dev.free_ports import free_ports
from onecard_stubs.guangdong.cards import PATH as GUANGDONG_PATH
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.guangxi.core import PATH as GUANGXI_PATH
from onecard_stubs.guangxi.core import GuangxiCardOffice
from tests.support.adapter_files import write_configuration, write_key, write_profile
from tests.support.directories import NETWORK, certificate_name, put_key
from tests.support.gateway import Hub, change_directory, eventually

LocalSystem = GuangdongCore | GuangxiCardOffice | BankCore


class HubAdapters:
    """The adapters of a hub's participants; each runs as long as its block, and goes on from its store in the next."""

    def __init__(self, hub: Hub, directory: Path) -> None:
        self._hub = hub
        self._directory = directory

    @classmethod
    async def of(cls, hub: Hub, directory: Path, *participants: str) -> HubAdapters:
        """Make the participants' key files, and let the gateway know of them."""
        gateway, keys = hub.gateways[0], {one: write_key(directory, one) for one in participants}
        first = gateway._directory.directory.version
        await change_directory(hub, *(put_key(one, key) for one, key in keys.items()))
        await eventually(lambda: gateway._directory.directory.version == first + len(keys))
        return cls(hub, directory)

    @contextlib.asynccontextmanager
    async def running(self, participant: str, **profile: Any) -> AsyncIterator[Exchange]:
        """An adapter that is ready; `profile` says where its local system is."""
        config = write_configuration(
            self._directory,
            participant,
            write_profile(self._directory, participant, **profile),
            network=NETWORK,
            gateways=[f"127.0.0.1:{gateway.port}" for gateway in self._hub.gateways],
            hub=self._hub.signers["cn-00"],
            certificate=self._hub.authority.issue(certificate_name(participant)),
        )
        async with running_adapter(load_adapter_settings(config)) as served:
            await served.exchange.wait_ready()
            yield served.exchange

    @contextlib.asynccontextmanager
    async def guangdong(self) -> AsyncIterator[tuple[GuangdongCore, Exchange]]:
        """Guangdong's core and its adapter."""
        core = GuangdongCore(requires_sign_in=True)
        async with self._around("cn-44", core, GUANGDONG_PATH) as exchange:
            yield core, exchange

    @contextlib.asynccontextmanager
    async def guangxi(self) -> AsyncIterator[tuple[GuangxiCardOffice, Exchange]]:
        """Guangxi's card office and its adapter."""
        office = GuangxiCardOffice()
        async with self._around("cn-45", office, GUANGXI_PATH) as exchange:
            yield office, exchange

    @contextlib.asynccontextmanager
    async def bank(self) -> AsyncIterator[tuple[BankCore, Exchange]]:
        """The bank's core and its adapter."""
        core = BankCore()
        async with self._around("bank-102", core, BANK_PATH) as exchange:
            yield core, exchange

    @contextlib.asynccontextmanager
    async def _around(self, participant: str, local: LocalSystem, path: str) -> AsyncIterator[Exchange]:
        (port,) = free_ports(1)
        await local.start()
        try:
            async with self.running(participant, port=port, core=local.url) as exchange:
                local.adapter_url = f"http://127.0.0.1:{port}{path}"
                yield exchange
        finally:
            await local.stop()
