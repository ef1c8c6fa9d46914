"""Notices are told until they are taken; one that is not goes to the end of the queue."""

import asyncio

from onecard_stubs.notices import Notices, NotTaken
from tests.support.eventually import eventually


async def test_a_notice_that_is_not_taken_goes_to_the_end_and_is_told_again() -> None:
    told: list[int] = []

    async def send(notice: int) -> None:
        told.append(notice)
        if told == [1]:
            raise NotTaken("not now")

    notices = Notices(send)
    notices.start()
    try:
        for notice in (1, 2, 3):
            notices.put(notice)
        await eventually(lambda: not notices)
    finally:
        await notices.stop()
    assert told == [1, 2, 3, 1]


async def test_what_waits_at_the_stop_is_told_after_the_next_start() -> None:
    told: list[int] = []
    open_line = asyncio.Event()

    async def send(notice: int) -> None:
        await open_line.wait()
        told.append(notice)

    notices = Notices(send)
    notices.put(1)
    notices.start()
    await asyncio.sleep(0)
    await notices.stop()
    assert (len(notices), told) == (1, [])
    open_line.set()
    notices.start()
    await eventually(lambda: told == [1])
    await notices.stop()
