"""The adapter signs in at a core that asks for it: once, again when it ends, and out at the end."""

import asyncio
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.infno import core
from onecard_adapters.dialects.infno.core import CoreClient
from onecard_adapters.dialects.infno.settings import CoreSettings
from onecard_stubs.behaviour import Switches
from onecard_stubs.guangdong.core import NOT_SIGNED_IN, GuangdongCore
from tests.support.infno_country import care_settings, country, open_memory

SIGN_IN = {"code": "S51000099901", "ended_codes": [str(NOT_SIGNED_IN)]}


async def test_the_insured_role_signs_in_once_and_signs_out_when_it_is_closed(tmp_path: Path) -> None:
    async with country(tmp_path, sign_in=SIGN_IN) as running:
        core = running.insured_core
        stay = await running.ready_to_settle()
        assert (await running.hospital.settle(stay)).is_success
        assert core.requests.count("9001") == 1
        assert core.requests[0] == "9001"
        assert len(core.sign_nos) == 1
    assert core.requests[-1] == "9002"
    assert core.sign_nos == set()


async def test_a_core_that_knows_no_sign_in_is_asked_for_none(tmp_path: Path) -> None:
    async with country(tmp_path) as running:
        core = running.insured_core
        await running.ready_to_settle()
    assert not {"9001", "9002"} & set(core.requests)


async def test_a_sign_in_that_ended_is_made_again_and_the_trade_is_executed_once(tmp_path: Path) -> None:
    async with country(tmp_path, sign_in=SIGN_IN) as running:
        core = running.insured_core
        stay = await running.ready_to_settle()
        core.sign_nos.clear()
        settled = await running.hospital.settle(stay)
        assert settled.is_success, settled.text
        assert core.requests[-3:] == ["2304", "9001", "2304"]
        assert len(core.benefits.settlements) == 1


async def test_without_the_profile_saying_so_the_core_refuses(tmp_path: Path) -> None:
    async with country(tmp_path) as running:
        running.insured_core.requires_sign_in = True
        person, enrolment = running.employee()
        await running.hospital.sign_in()
        refused = await running.hospital.identify(person, insurance_area=enrolment.insurance_area)
        assert (refused.code, "未签到或签到已失效" in refused.text) == (-2, True)


async def test_a_core_that_gives_no_sign_in_is_down_and_nothing_was_asked_of_it(tmp_path: Path) -> None:
    async with country(tmp_path, sign_in=SIGN_IN) as running:
        core = running.insured_core
        core.behaviours.set("9001", Switches(lose_answer=True), calls=1)
        person, enrolment = running.employee()
        await running.hospital.sign_in()
        refused = await running.hospital.identify(person, insurance_area=enrolment.insurance_area)
        assert refused.text.startswith("[LOCAL_SYSTEM_DOWN]"), refused.text
        assert core.requests == ["9001"]
        assert (await running.hospital.identify(person, insurance_area=enrolment.insurance_area)).is_success


async def test_all_who_wait_for_a_sign_in_that_does_not_come_learn_it_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read()  # Until the caller gives up.
        writer.close()

    monkeypatch.setattr(core, "_SIGN_IN_S", 0.2)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, open_memory(tmp_path / "core.db") as memory:
        http = LocalHttpClient(url=url)
        client = CoreClient(
            CoreSettings.model_validate({"url": url, "sign_in": {"code": "S44000099901"}}), http, memory
        )
        trades = [client.call("2304", {}, {"msgid": f"M{n}"}, now_ms=0, has_effect=True) for n in range(8)]
        told = await asyncio.gather(*trades, return_exceptions=True)
        await http.close()

    assert asked == 1
    assert [getattr(error, "reason", error) for error in told] == [errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN] * 8


async def test_a_core_that_forgets_its_sign_ins_at_once_is_not_asked_for_ever(tmp_path: Path) -> None:
    async with country(tmp_path, sign_in=SIGN_IN) as running:
        core = running.insured_core
        core.sign_nos = _Forgetful()
        person, enrolment = running.employee()
        await running.hospital.sign_in()
        refused = await running.hospital.identify(person, insurance_area=enrolment.insurance_area)
        assert refused.text.startswith("[LOCAL_SYSTEM_DOWN]"), refused.text
        assert core.requests == ["9001", "1101", "9001", "1101"]


class _Forgetful(set[str]):
    def add(self, element: str) -> None:
        pass


async def test_trades_that_start_together_share_one_sign_in_in_the_care_role_too(tmp_path: Path) -> None:
    core = GuangdongCore(requires_sign_in=True)
    await core.start()
    client = LocalHttpClient(url=core.url)
    settings = care_settings(core.url, core={"url": core.url, "sign_in": {"code": "S44000099901"}})
    try:
        async with open_memory(tmp_path / "care.db") as memory:
            one = CoreClient(settings.core, client, memory)
            await asyncio.gather(
                *(
                    one.call("2502", {"data": {}}, {"msgid": f"M{number}"}, now_ms=0, has_effect=True)
                    for number in range(5)
                ),
                return_exceptions=True,
            )
            assert core.requests.count("9001") == 1
    finally:
        await client.close()
        await core.stop()
    assert core.requests[-1] == "9002", "also where the store is closed already"


async def test_closing_does_not_fail_where_the_core_is_gone(tmp_path: Path) -> None:
    async with country(tmp_path, sign_in=SIGN_IN) as running:
        await running.admitted()
        await running.insured_core.stop()
        core = running.insured_core
    assert core.requests[-1] != "9002"
