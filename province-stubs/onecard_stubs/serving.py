"""How a local system is served on this machine: its HTTP server's life, and a process that ends when it is told to."""

import asyncio
import logging
from typing import Any, Final, Protocol

from aiohttp import web

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 4 * 1_024 * 1_024
_END_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class HttpSite:
    """One application on one port; after a stop the next start takes the same port again."""

    def __init__(self) -> None:
        self.port = 0
        """The port that is listened on, once started."""
        self._runner: web.AppRunner | None = None

    async def start(self, application: web.Application, host: str = HOST, port: int = 0) -> None:
        """Listen; port 0 takes a free one the first time. OSError if the port is taken."""
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_END_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port or self.port, reuse_port=False).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self.port = runner, runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; one that does not listen is left so."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


class LocalServer(Protocol):
    """A local system that is served."""

    @property
    def url(self) -> str:
        """Where it is, once started."""

    async def start(self, host: str = HOST, port: int = 0) -> Any:
        """Listen."""

    async def stop(self) -> None:
        """Stop; what it holds is kept."""


async def serve_until_cancelled(system: LocalServer, port: int) -> None:
    """Run a local system until the task is cancelled."""
    await system.start(port=port)
    _log.info("%s listens at %s", type(system).__name__, system.url)
    try:
        await asyncio.Event().wait()
    finally:
        await system.stop()
