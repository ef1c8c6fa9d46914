"""A card whose enabling failed after a good return (待激活) is enabled again until it is, or is found to be no more so.

Nothing is kept on disk: the office's next notice or hourly batch names such a card again, and a verb that was done
before is answered so. The hub has no part in it; that the card was enabled the office tells like any other change.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator

from onecard_adapters.cards.port import LocalCard
from onecard_adapters.dialects.card_strings.client import CardOfficeClient
from onecard_adapters.dialects.card_strings.settings import EnablingSettings
from onecard_adapters.dialects.card_strings.verbs import CARD_TAG, CITY_TAG, NAME_TAG, NUMBER_TAG, Verb
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.tracing import continue_trace

_log = logging.getLogger(__name__)


class EnablingAgain:
    """The attempts under way, one task a card."""

    def __init__(
        self,
        settings: EnablingSettings,
        client: CardOfficeClient,
        pull: Callable[[str], Awaitable[LocalCard | None]],
    ) -> None:
        self._settings = settings
        self._client = client
        self._pull = pull
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def consider(self, card: LocalCard, city: str) -> None:
        """Enable the card again if its status says that the enabling failed, and nobody is at it."""
        number = card.card.number
        if card.local_status.code in self._settings.statuses and number not in self._tasks:
            task = asyncio.create_task(self._until_enabled(card, city))
            self._tasks[number] = task
            task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_enabled(self, card: LocalCard, city: str) -> None:
        continue_trace("")  # It goes on long after whatever it was begun for.
        for delay_ms in self._delays():
            await asyncio.sleep(delay_ms / 1_000)
            try:
                if await self._enabled(card, city):
                    return
            except OneCardError as error:
                _log.warning("a card could not be enabled again: reason %s", reason_name(error.reason))

    async def _enabled(self, card: LocalCard, city: str) -> bool:
        """Whether there is nothing left to do: it was enabled now, or somebody did it or something else with it."""
        now = await self._pull(card.card.number)
        if now is None or now.local_status.code not in self._settings.statuses:
            return True
        await self._client.ask(
            Verb.ENABLE,
            {
                CITY_TAG: city,
                CARD_TAG: card.card.number,
                NUMBER_TAG: card.holder.social_security_number,
                NAME_TAG: card.holder.name,
            },
        )
        return True

    def _delays(self) -> Iterator[int]:
        delays = self._settings.delays_ms
        return itertools.chain(delays, itertools.repeat(delays[-1]))
