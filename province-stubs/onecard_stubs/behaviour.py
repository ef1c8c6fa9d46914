"""How a local system misbehaves on request: slow, down, doubled, losing its answer, wrong codes, wrong encodings.

A switch is set for a trade, or for all of them, until it is changed or for the next n calls. The same switches are
served over HTTP under /control, so that a scenario or a person can turn them while the system runs:

    GET    /control/behaviour                       what is switched on
    POST   /control/behaviour  {"trade": "0304", "delay_ms": 500, "calls": 2}
    DELETE /control/behaviour                       all well-behaved again
    POST   /control/command/NAME  {...}             what the local system itself offers, such as filing outwards
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from aiohttp import web

EVERY_TRADE = "*"
DELAY_MS_MAX = 600_000

Command = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""What a local system does when it is told to by its operator: JSON object in, JSON object out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What happens to one call. All off is good behaviour."""

    delay_ms: int = 0
    """Waits so long before it does anything."""
    down: bool = False
    """Breaks the connection and does nothing."""
    duplicate: bool = False
    """Does the work twice, as when a proxy in front repeats the request; the second answer is what the caller gets."""
    lose_answer: bool = False
    """Does the work, commits, and breaks the connection instead of answering."""
    wrong_code: bool = False
    """Answers with a code that stands in no table."""
    wrong_encoding: bool = False
    """Answers in another encoding than it says."""


@dataclass(slots=True)
class _Setting:
    switches: Switches
    calls_left: int | None


class Behaviours:
    """The switches of one local system. A trade's own setting wins over the one for every trade."""

    def __init__(self) -> None:
        self._settings: dict[str, _Setting] = {}

    def set(self, trade: str, switches: Switches, calls: int | None = None) -> None:
        """Switch a trade (or EVERY_TRADE) until changed, or for the next `calls` calls."""
        if calls is not None and (type(calls) is not int or calls < 1):
            raise ValueError(f"a behaviour for {calls!r} calls has no meaning; calls is a whole number from 1")
        if not 0 <= switches.delay_ms <= DELAY_MS_MAX:
            raise ValueError(f"delay_ms must be 0 to {DELAY_MS_MAX}")
        self._settings[trade] = _Setting(switches, calls)

    def clear(self) -> None:
        """Behave well from now on."""
        self._settings.clear()

    def take(self, trade: str) -> Switches:
        """The switches for this call; counts it."""
        key = trade if trade in self._settings else EVERY_TRADE
        setting = self._settings.get(key)
        if setting is None:
            return Switches()
        if setting.calls_left is not None:
            setting.calls_left -= 1
            if setting.calls_left == 0:
                del self._settings[key]
        return setting.switches

    def describe(self) -> dict[str, dict[str, Any]]:
        """What is switched on, by trade, as it is told over HTTP."""
        return {
            trade: {
                **{item.name: getattr(setting.switches, item.name) for item in fields(Switches)},
                "calls_left": setting.calls_left,
            }
            for trade, setting in self._settings.items()
        }


async def serve(
    request: web.Request, switches: Switches, work: Callable[[Switches], Awaitable[web.Response]]
) -> web.StreamResponse:
    """Do one call's work under its switches. Wrong codes and encodings are the work's own, which sees the switches."""
    if switches.delay_ms:
        await asyncio.sleep(switches.delay_ms / 1_000)
    if switches.down:
        return _broken_connection(request)
    response = await work(switches)
    if switches.duplicate:
        response = await work(switches)
    return _broken_connection(request) if switches.lose_answer else response


def mount_control(
    application: web.Application, behaviours: Behaviours, commands: Mapping[str, Command] | None = None
) -> None:
    """Serve the switches, and the local system's own commands, under /control."""
    known = dict(commands or {})

    async def show(_: web.Request) -> web.Response:
        return web.json_response(behaviours.describe())

    async def change(request: web.Request) -> web.Response:
        try:
            body = await _json_object(request)
            trade = str(body.pop("trade", EVERY_TRADE))
            calls = body.pop("calls", None)
            behaviours.set(trade, _switches(body), calls)
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(behaviours.describe())

    async def clear(_: web.Request) -> web.Response:
        behaviours.clear()
        return web.json_response({})

    async def command(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in known:
            return web.json_response({"error": f"no command {name!r}; there are {sorted(known)}"}, status=404)
        try:
            return web.json_response(dict(await known[name](await _json_object(request))))
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)

    application.router.add_get("/control/behaviour", show)
    application.router.add_post("/control/behaviour", change)
    application.router.add_delete("/control/behaviour", clear)
    application.router.add_post("/control/command/{name}", command)


def _switches(values: Mapping[str, Any]) -> Switches:
    switches = Switches()
    for name, value in values.items():
        if name not in Switches.__dataclass_fields__:
            raise ValueError(f"no switch {name!r}; there are {sorted(Switches.__dataclass_fields__)}")
        if type(value) is not type(getattr(switches, name)):
            raise ValueError(f"switch {name!r} takes a {type(getattr(switches, name)).__name__}")
        switches = replace(switches, **{name: value})
    return switches


async def _json_object(request: web.Request) -> dict[str, Any]:
    text = await request.text()
    value = json.loads(text) if text else {}
    if not isinstance(value, dict):
        raise ValueError("the body must be a JSON object")
    return value


def _broken_connection(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
