"""The local systems that `onecard stub run` knows."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text

if TYPE_CHECKING:
    from onecard_stubs.serving import ServedSystem


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a local system runs, and what it works with; it takes what it needs of it."""

    port: int
    """Of 127.0.0.1."""
    adapter_url: str = ""
    """Where its province's adapter listens; empty: it calls nobody."""
    database: str = ""
    """SQLAlchemy URL of its tables, where it keeps some."""
    columns_key: Path | None = None
    """File of the key by which it encrypts columns of persons; made where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSystem:
    """A simulated local system."""

    what: Text
    serve: Callable[[Place], Coroutine[None, None, None]]
    """Serves until cancelled."""


async def _serve(system: "ServedSystem", port: int) -> None:
    from onecard_stubs.serving import serve_until_cancelled

    await serve_until_cancelled(system, port)


async def _guangdong(place: Place) -> None:
    from onecard_stubs.guangdong.core import GuangdongCore

    await _serve(GuangdongCore(requires_sign_in=True, adapter_url=place.adapter_url), place.port)


async def _sichuan(place: Place) -> None:
    from onecard_stubs.population import Population
    from onecard_stubs.sichuan.core import SichuanCore

    await _serve(SichuanCore(Population(), adapter_url=place.adapter_url), place.port)


async def _guangxi(place: Place) -> None:
    from onecard_stubs.guangxi.core import GuangxiCardOffice

    await _serve(GuangxiCardOffice(adapter_url=place.adapter_url), place.port)


async def _bank(place: Place) -> None:
    from onecard_stubs.bank.core import BankCore

    await _serve(BankCore(adapter_url=place.adapter_url), place.port)


async def _beijing(place: Place) -> None:
    from onecard_stubs.beijing.core import BeijingCardOffice

    if not place.database or place.columns_key is None:
        raise Explained(
            Explanation(
                what=Text(en="Beijing's card office works on a database.", zh="北京社保卡管理系统需要数据库。"),
                remedy=Text(
                    en="Give --database sqlite:////path/cards.sqlite and --columns-key FILE (made if it is missing).",
                    zh="请用 --database 与 --columns-key 指定数据库地址和字段密钥文件（不存在则自动生成）。",
                ),
                exit_code=ExitCode.USAGE,
            )
        )
    await _serve(BeijingCardOffice(place.database, place.columns_key), place.port)


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
    "beijing": LocalSystem(
        what=Text(
            en="Beijing's card office: nothing but its database tables, which the adapter reads; control API beside it",
            zh="北京社保卡管理系统：仅有数据库表，由适配器轮询；另有控制接口",
        ),
        serve=_beijing,
    ),
}
