"""Whether all processes of a country go on, while it is up and while something is done with it."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

from onecard_protocol.explained import explain
from onecard_stubs.dev.country import Country
from onecard_stubs.dev.running import RunningCountry

_WATCH_SECONDS: Final = 0.5
_NOTICED_SECONDS: Final = 1.0
"""So soon the end of a process is noticed, by who started it and by who reads of it."""


async def watch(country: Country, running: RunningCountry, report: Callable[[str], None]) -> NoReturn:
    """Wait until one of the processes ends by itself, then raise what to tell of it: Explained or KafkaFailed.

    Who reads of the country is told too.
    """
    while not (ended := _names_of_ended(country)):  # noqa: ASYNC110 - PostgreSQL is no child, and nobody tells.
        await asyncio.sleep(_WATCH_SECONDS)
    report(f"{', '.join(ended)} ended: ending the others")
    failure = country.failure(ended[0])
    with contextlib.suppress(OSError):  # A full disk may be why it ended.
        running.save_end(explain(failure))
    raise failure


def _names_of_ended(country: Country) -> list[str]:
    """Those first that the others need."""
    running = country.process_ids
    return [name for name in country.names if name not in running]


async def unless_ended(drill: Coroutine[Any, Any, bool], watching: Coroutine[Any, Any, NoReturn]) -> bool:
    """What the drill gives; where a process of the country ends by itself, what `watching` raises of that instead.

    A drill may fail by that end before it is noticed.
    """
    playing, end = tasks = asyncio.create_task(drill), asyncio.create_task(watching)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if playing.done() and playing.exception() is not None:
            await asyncio.wait([end], timeout=_NOTICED_SECONDS)
        return await (end if end.done() else playing)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
