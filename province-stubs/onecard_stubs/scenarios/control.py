"""How a drill does something at a local system: by the operator's interface of the stub; and how it waits."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import aiohttp

from onecard_protocol.explained import Text
from onecard_stubs.dev.running import RunningCountry

_ANSWER_SECONDS: Final = 40

Seen = TypeVar("Seen")


class NotDone(Exception):
    """A step that failed, so that the drill cannot go on."""

    def __init__(self, what: Text, why: str) -> None:
        self.what = what
        self.why = (why,) if why else ()
        super().__init__(what.en, *self.why)


def now_ms() -> int:
    """This machine's clock, which the processes of the country have too."""
    return time.time_ns() // 1_000_000


async def command(
    country: RunningCountry, participant: str, name: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Do something at a participant's local system. Raises NotDone with its own words where it refuses."""
    url = f"{country.stub_urls[participant]}/control/command/{name}"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS)) as session,
        session.post(url, json=body or {}) as response,
    ):
        answer: dict[str, Any] = await response.json()
    if "error" in answer:
        raise NotDone(
            Text(en=f"{participant} did not do {name}.", zh=f"{participant} 未完成 {name}。"), str(answer["error"])
        )
    return answer


async def until(
    look: Callable[[], Awaitable[Seen | None]], what: Text, *, seconds: float = 30, pause_seconds: float = 0.1
) -> Seen:
    """Look until there is something to see, and return it. Raises NotDone when the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while (seen := await look()) is None:
        if loop.time() > deadline:
            raise NotDone(what, f"not within {seconds:g} s")
        await asyncio.sleep(pause_seconds)
    return seen
