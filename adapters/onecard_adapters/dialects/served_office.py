"""A card office or bank that calls the adapter over HTTP and is called by it: the life of client and server, and views.

A notice is a hint that something changed, whatever it says: notices come late, again and in any order, so the local
system is asked how the card stands now, one question at a time for a card.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from onecard.card.v1 import replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import CardDesk, CardOffice, Change, LocalAccount, LocalCard
from onecard_adapters.connectors.http import Handler, HttpAnswer, HttpRequest, LocalHttpClient, LocalHttpServers
from onecard_adapters.dialects.card_fields import UnreadCard, as_told_last
from onecard_adapters.dialects.infno.locks import KeyedLocks
from onecard_adapters.dialects.infno.settings import ListenSettings
from onecard_protocol.errors import OneCardError

Local = LocalCard | LocalAccount
Built = tuple[CardOffice, Handler]


class LookedUp:
    """Views of cards, in the order in which the local system gave them."""

    def __init__(self, desk: CardDesk, pull: Callable[[str], Awaitable[Local | None]]) -> None:
        self._desk = desk
        self._pull = pull
        self._locks = KeyedLocks()

    async def look_up(self, number: str) -> tuple[Local | None, bool]:
        """The card or account as it stands now, which the desk has taken, and whether it had changed.

        Raises OneCardError where the local system or the desk cannot be asked, and LOCAL_FORM_INVALID where the local
        system has no such card, but one was told that has not ended: whoever gave the notice gives it again. Of a card
        that cannot be read whole it is told before that what stops it, with what was told of it last.
        """
        async with self._locks.hold(number):
            try:
                local = await self._pull(number)
            except UnreadCard as unread:
                stopped = as_told_last(unread.card, await self._desk.unended(number))
                if stopped is not None:
                    await self._desk.observe([stopped])
                raise
            if local is None and await self.is_standing(number):
                raise OneCardError(
                    errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID,
                    "card: the local system says that there is none, but one was told, which has not ended",
                )
            changed = 0 if local is None else await self._desk.observe([local])
            return local, bool(changed)

    async def is_standing(self, number: str) -> bool:
        """Whether a card of the number was told that has not ended."""
        return bool(await self._desk.unended(number))


class ServedOffice:
    """Is a RunningOffice around what `build` makes of a client of the local system.

    Its path is added to `servers`, which start after it and stop before it.
    """

    def __init__(
        self, servers: LocalHttpServers, *, listen: ListenSettings, url: str, build: Callable[[LocalHttpClient], Built]
    ) -> None:
        self._servers: Final = servers
        self._listen: Final = listen
        self._url: Final = url
        self._build: Final = build
        self._built: Built | None = None
        self._client: LocalHttpClient | None = None
        servers.add(listen.host, listen.port, listen.path, self._handle)

    @property
    def address(self) -> str:
        """Where the local system reaches the adapter."""
        return self._servers.url(self._listen.host, self._listen.port, self._listen.path)

    async def start(self) -> None:
        """Open the connections to the local system."""
        self._client = LocalHttpClient(url=self._url)
        self._built = self._build(self._client)

    async def stop(self) -> None:
        """Close them."""
        if self._client is not None:
            await self._client.close()

    async def carry_out(self, request: replacement_pb2.CarryOutStepRequest) -> replacement_pb2.CarryOutStepResponse:
        """See `CardOffice`."""
        return await self._started()[0].carry_out(request)

    async def tell(self, change: Change) -> None:
        """See `CardOffice`."""
        await self._started()[0].tell(change)

    async def find(self, card: values_pb2.CardReference) -> Local | None:
        """See `CardOffice`."""
        return await self._started()[0].find(card)

    async def _handle(self, request: HttpRequest) -> HttpAnswer:
        _, handler = self._started()
        return await handler(request)

    def _started(self) -> Built:
        if self._built is None:
            raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, "the connection is not open yet")
        return self._built
