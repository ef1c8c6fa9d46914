"""The local systems that `onecard stub run` knows."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from onecard_protocol.explained import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSystem:
    """A simulated local system."""

    what: Text
    serve: Callable[[int, str], Coroutine[None, None, None]]
    """Serves on a port of 127.0.0.1 until cancelled; given where its province's adapter listens, or nothing."""


async def _guangdong(port: int, adapter_url: str) -> None:
    from onecard_stubs.guangdong.core import GuangdongCore

    core = GuangdongCore(requires_sign_in=True, adapter_url=adapter_url)
    await core.start(port=port)
    try:
        await asyncio.Event().wait()
    finally:
        await core.stop()


async def _sichuan(port: int, adapter_url: str) -> None:
    from onecard_stubs.population import Population
    from onecard_stubs.sichuan.core import SichuanCore, serve_until_cancelled

    await serve_until_cancelled(SichuanCore(Population(), adapter_url=adapter_url), "127.0.0.1", port)


async def _guangxi(port: int, adapter_url: str) -> None:
    from onecard_stubs.guangxi.core import GuangxiCardOffice, serve_until_cancelled

    await serve_until_cancelled(GuangxiCardOffice(adapter_url=adapter_url), "127.0.0.1", port)


async def _bank(port: int, adapter_url: str) -> None:
    from onecard_stubs.bank.core import BankCore, serve_until_cancelled

    await serve_until_cancelled(BankCore(adapter_url=adapter_url), "127.0.0.1", port)


LOCAL_SYSTEMS: Final = {
    "guangdong": LocalSystem(
        what=Text(
            en="Guangdong's provincial core: infno JSON over HTTP; splits fee lines, or computes for its own people",
            zh="广东省级核心系统：infno JSON（HTTP）；拆分费用明细，或为本省参保人计算待遇",
        ),
        serve=_guangdong,
    ),
    "sichuan": LocalSystem(
        what=Text(
            en="Sichuan's provincial core: GBK XML over SOAP; computes who pays, files for its people elsewhere",
            zh="四川省级核心系统：GBK XML（SOAP）；计算待遇，为本省参保人办理异地备案",
        ),
        serve=_sichuan,
    ),
    "guangxi": LocalSystem(
        what=Text(
            en="Guangxi's card office: card strings and verbs in tags, GBK over HTTP; its counter and issuing point",
            zh="广西社保卡管理系统：竖线分隔卡串与标签动词（GBK、HTTP）；含柜台与即时制卡网点",
        ),
        serve=_guangxi,
    ),
    "bank": LocalSystem(
        what=Text(
            en="A bank: the accounts of cards, JSON over HTTP; opens an employer's accounts in a batch",
            zh="合作银行：社保卡金融账户（JSON、HTTP）；可为单位批量开户",
        ),
        serve=_bank,
    ),
}
