"""What is no message is answered as a failure in each local system's own form; a command without sense is refused."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from onecard_stubs.bank.core import BankCore
from onecard_stubs.beijing.core import BeijingCardOffice
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.guangxi.core import GuangxiCardOffice
from onecard_stubs.population import Population
from onecard_stubs.serving import ServedSystem
from onecard_stubs.sichuan.core import SichuanCore

_NEVER_JSON = b"[" * 100_000
_NEVER_GBK = b"\xff\xfe\x00"
_UNEVEN = "<操作>即制卡回盘</操作>\r\n序号,社保卡号\r\n1\r\n".encode("gbk")


@contextlib.asynccontextmanager
async def _running(system: ServedSystem) -> AsyncIterator[aiohttp.ClientSession]:
    await system.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield session
    finally:
        await system.stop()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"tranCode": 1, "body": 2}', _NEVER_JSON, _NEVER_GBK, _UNEVEN]
)
@pytest.mark.parametrize(
    ("build", "failure"),
    [
        (GuangdongCore, '"infcode":-1'),
        (lambda: SichuanCore(Population(count=1)), "-2"),
        (GuangxiCardOffice, "<ERR>"),
        (BankCore, "报文格式不正确"),
    ],
    ids=["guangdong", "sichuan", "guangxi", "bank"],
)
async def test_what_is_no_message_is_answered_as_a_failure(
    build: Callable[[], ServedSystem], failure: str, body: bytes
) -> None:
    system = build()
    async with _running(system) as session, session.post(system.url, data=body) as response:
        answer = await response.read()
    assert response.status == 200
    assert failure.encode(response.charset or "utf-8") in answer


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("open_batch", {"count": -1}),
        ("open_batch", {"count": 1, "failures": 2}),
        ("open_batch", {"count": 1, "failures": -1}),
        ("report_lost", {"release_after_s": 1e300}),
    ],
)
async def test_a_command_without_sense_changes_no_card_of_beijings(
    command: str, arguments: dict[str, float], tmp_path: Path
) -> None:
    office = BeijingCardOffice(f"sqlite:///{tmp_path / 'cards.sqlite'}", tmp_path / "key", holders=1, reserve=2)
    async with _running(office) as session:
        who = {"identity_number": office.population.people[0].identity_number}
        url = f"{office.url}/control/command/"
        async with session.post(f"{url}show", json={}) as response:
            before = await response.json()
        async with session.post(f"{url}{command}", json={**who, **arguments}) as response:
            assert response.status == 400
        async with session.post(f"{url}show", json={}) as response:
            assert await response.json() == before
        async with session.post(f"{url}show", json=who) as response:
            assert [card["aaz502"] for card in (await response.json())["cards"]] == [1]
