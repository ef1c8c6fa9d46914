"""Says that no gateway answers: where, why as far as gRPC tells, what the adapter does meanwhile, and what to check."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Final

import grpc
import grpc.aio

from onecard_adapters.sdk.wire import refusal_of
from onecard_protocol.explained import Language, Text, language_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onecard_adapters.sdk.gateways import Gateway

TELL_AGAIN_S: Final = 60.0
_LOOK_AGAIN_S: Final = 1.0
_ASK_TIMEOUT_S: Final = 5.0
# Any method would do: a call that finds no connection fails with the reason, which a channel's state does not tell.
_ASKED: Final = "/grpc.health.v1.Health/Check"
_NO_ANSWER: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})

_log = logging.getLogger(__name__)


class Unreached:
    """Tells people while none of the gateways is reached."""

    def __init__(self, gateways: Sequence[Gateway]) -> None:
        self._gateways = gateways
        self._is_told = False

    async def tell(self) -> None:
        """Say it at once and then now and then, for ever."""
        while True:
            reasons = await asyncio.gather(*[_reason(gateway) for gateway in self._gateways])
            told = [
                (gateway.address, reason)
                for gateway, reason in zip(self._gateways, reasons, strict=True)
                if reason is not None
            ]
            if len(told) < len(reasons):  # One answers, so the wait for it ends.
                await asyncio.sleep(_LOOK_AGAIN_S)
                continue
            _log.error("%s", _unreached(told, language_of(os.environ)))
            self._is_told = True
            await asyncio.sleep(TELL_AGAIN_S)

    def end(self, gateway: Gateway) -> None:
        """This one is reached; it is said if the opposite was."""
        if self._is_told:
            self._is_told = False
            _log.info("%s", _REACHED.of(language_of(os.environ)).format(address=gateway.address))


async def _reason(gateway: Gateway) -> str | None:
    """Why a gateway does not answer, in gRPC's words; None if it answers, whatever it says."""
    try:
        await gateway.call(_ASKED)(b"", timeout=_ASK_TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        if error.code() in _NO_ANSWER and refusal_of(error) is None:
            return " ".join((error.details() or error.code().name).split())
    return None


def _unreached(told: Sequence[tuple[str, str]], language: Language) -> str:
    causes = [next((cause for cause in _CAUSES if cause[0] in reason), _CAUSES[-1]) for _, reason in told]
    where = [
        f"{address}: {why.of(language)} ({reason})" for (address, reason), (_, why, _) in zip(told, causes, strict=True)
    ]
    checks = dict.fromkeys(check.of(language) for _, _, check in causes)
    return _UNREACHED.of(language).format(where="; ".join(where), checks="; ".join(checks))


_REACHED: Final = Text(
    en="Gateway {address} is reached: what was kept is sent now.", zh="已连接网关 {address}：现在发送保存的报文。"
)
_UNREACHED: Final = Text(
    en="No gateway of the hub is reached. {where}. Nothing is lost: what is owed to the hub is kept and sent once a "
    "gateway is reached, which the adapter tries by itself; until then new requests with effect are refused as "
    "EXPIRED. Check {checks}.",
    zh="无法连接枢纽的任何网关。{where}。数据不会丢失：应发往枢纽的报文均已保存，适配器会自行重连，连接后继续发送；"
    "在此之前，新的业务办理请求以 EXPIRED 拒绝。请检查：{checks}。",
)
_CAUSES: Final = (
    (
        "Connection refused",
        Text(en="nothing listens there", zh="该地址无程序监听"),
        Text(
            en="that a gateway runs there and that hub.gateways is right", zh="该处网关是否运行，hub.gateways 是否正确"
        ),
    ),
    (
        "errors resolving",
        Text(en="its name is not known", zh="域名无法解析"),
        Text(en="the name in hub.gateways and this machine's DNS", zh="hub.gateways 中的域名和本机 DNS"),
    ),
    (
        "Hostname Verification",
        Text(en="its certificate bears another name", zh="证书中的名称不符"),
        Text(
            en="that hub.server_name is the name in the gateways' certificates",
            zh="hub.server_name 是否为网关证书中的名称",
        ),
    ),
    (
        "WRONG_VERSION_NUMBER",
        Text(en="it does not speak TLS", zh="对方未使用 TLS"),
        Text(en="that hub.gateways names the gateways' own port", zh="hub.gateways 是否为网关自身端口"),
    ),
    (
        "handshake failed",
        Text(en="its certificate is not trusted", zh="网关证书不受信任"),
        Text(
            en="that hub.tls.authority_file is of the authority that issued the gateways' certificates",
            zh="hub.tls.authority_file 是否为签发网关证书的机构",
        ),
    ),
    (
        "Socket closed",
        Text(
            en="it closed the connection, as a gateway does to which this adapter's certificate is not trusted",
            zh="对方关闭了连接，网关不信任本适配器证书时即如此",
        ),
        Text(
            en="that hub.tls is set and that its certificate_file is valid and of the authority that the hub trusts",
            zh="是否已配置 hub.tls，其 certificate_file 是否有效且由枢纽信任的机构签发",
        ),
    ),
    (
        "",
        Text(en="it does not answer", zh="没有应答"),
        Text(
            en="the network and the firewalls between here and the gateways, and hub.gateways",
            zh="本机与网关之间的网络和防火墙，以及 hub.gateways",
        ),
    ),
)
"""What gRPC's words hold, what that means, what to check; the first that fits."""
