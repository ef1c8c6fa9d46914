"""Switches of a local system: for n calls or until changed, by trade, in process and over HTTP."""

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from onecard_stubs.behaviour import Behaviours, Switches, mount_control, serve


class _Counter:
    """A local system whose whole work is to count."""

    def __init__(self) -> None:
        self.behaviours = Behaviours()
        self.done = 0

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/trade/{number}", self._trade)

        async def double(arguments: object) -> dict[str, int]:
            assert isinstance(arguments, dict)
            return {"result": 2 * int(arguments["value"])}

        mount_control(application, self.behaviours, {"double": double})
        return application

    async def _trade(self, request: web.Request) -> web.StreamResponse:
        return await serve(request, self.behaviours.take(request.match_info["number"]), self._work)

    async def _work(self, switches: Switches) -> web.Response:
        self.done += 1
        return web.Response(text="??" if switches.wrong_code else str(self.done))


def test_a_setting_for_two_calls_ends_after_them_and_other_trades_never_had_it() -> None:
    behaviours = Behaviours()
    behaviours.set("0304", Switches(lose_answer=True), calls=2)
    assert not behaviours.take("0303").lose_answer
    assert [behaviours.take("0304").lose_answer for _ in range(3)] == [True, True, False]


def test_a_trades_own_setting_wins_over_the_one_for_every_trade() -> None:
    behaviours = Behaviours()
    behaviours.set("*", Switches(delay_ms=5))
    behaviours.set("0304", Switches(down=True), calls=1)
    assert behaviours.take("0304") == Switches(down=True)
    assert behaviours.take("0304") == Switches(delay_ms=5)
    behaviours.clear()
    assert behaviours.take("0304") == Switches()


@pytest.mark.parametrize(("switches", "calls"), [(Switches(), 0), (Switches(delay_ms=-1), None)])
def test_settings_without_meaning_are_refused(switches: Switches, calls: int | None) -> None:
    with pytest.raises(ValueError, match=r"no meaning|delay_ms"):
        Behaviours().set("*", switches, calls)


async def test_calls_are_lost_after_the_work_doubled_or_not_done_at_all() -> None:
    system = _Counter()
    async with TestClient(TestServer(system.application())) as client:
        system.behaviours.set("1", Switches(lose_answer=True), calls=1)
        with pytest.raises(aiohttp.ClientError):
            await client.post("/trade/1")
        assert system.done == 1

        system.behaviours.set("1", Switches(down=True), calls=1)
        with pytest.raises(aiohttp.ClientError):
            await client.post("/trade/1")
        assert system.done == 1

        system.behaviours.set("1", Switches(duplicate=True), calls=1)
        assert await (await client.post("/trade/1")).text() == "3"
        assert await (await client.post("/trade/1")).text() == "4"


async def test_the_control_api_switches_shows_and_clears() -> None:
    system = _Counter()
    async with TestClient(TestServer(system.application())) as client:
        answer = await client.post("/control/behaviour", json={"trade": "1", "wrong_code": True, "calls": 1})
        assert (await answer.json())["1"]["wrong_code"] is True
        assert await (await client.post("/trade/1")).text() == "??"
        await client.post("/control/behaviour", json={"delay_ms": 1})
        assert "*" in await (await client.get("/control/behaviour")).json()
        await client.delete("/control/behaviour")
        assert await (await client.get("/control/behaviour")).json() == {}


@pytest.mark.parametrize(
    "body",
    [
        '{"slow": true}',
        '{"delay_ms": "5"}',
        '{"down": 1}',
        "[]",
        "{",
        *(f'{{"calls": {calls}}}' for calls in (0, 1.5, '"2"')),
    ],
)
async def test_the_control_api_refuses_what_it_does_not_know(body: str) -> None:
    async with TestClient(TestServer(_Counter().application())) as client:
        answer = await client.post("/control/behaviour", data=body)
        assert answer.status == 400
        assert (await answer.json())["error"]


async def test_commands_of_the_local_system_are_called_by_name() -> None:
    async with TestClient(TestServer(_Counter().application())) as client:
        assert await (await client.post("/control/command/double", json={"value": 21})).json() == {"result": 42}
        assert (await client.post("/control/command/halve", json={})).status == 404
        assert (await client.post("/control/command/double", json={})).status == 400
