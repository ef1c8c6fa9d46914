"""How a local system is served on this machine: its HTTP server's life, and a process that ends when it is told to."""

import abc
import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from onecard_stubs.behaviour import Behaviours, Command, mount_control

HOST: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 4 * 1_024 * 1_024
_END_SECONDS: Final = 1.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


class ServedSystem(abc.ABC):
    """A local system on one port: what its adapter calls, and its operator's interface (behaviour.py).

    After a stop the next start takes the same port again.
    """

    def __init__(self, path: str = "", behaviours: Behaviours | None = None) -> None:
        """`path` is what the adapter calls; empty: the system has no such interface."""
        self.behaviours = behaviours or Behaviours()
        self.port = 0
        """The port that is listened on, once started."""
        self._path = path
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it is, once started."""
        return f"http://127.0.0.1:{self.port}{self._path}"

    @abc.abstractmethod
    async def start(self, host: str = HOST, port: int = 0) -> None:
        """Begin to work and listen; OSError if the port is taken."""

    async def stop(self) -> None:
        """Stop listening; what the system holds is kept. One that does not listen is left so."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _listen(
        self, host: str, port: int, commands: Mapping[str, Command], answer: Handler | None = None
    ) -> None:
        """Port 0 takes a free one the first time. OSError if the port is taken."""
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        if answer is not None:
            application.router.add_post(self._path, answer)
        mount_control(application, self.behaviours, commands)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_END_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port or self.port, reuse_port=False).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner, self.port = runner, runner.addresses[0][1]


async def serve_until_cancelled(system: ServedSystem, port: int) -> None:
    """Run a local system until the task is cancelled."""
    await system.start(port=port)
    _log.info("%s listens at %s", type(system).__name__, system.url)
    try:
        await asyncio.Event().wait()
    finally:
        await system.stop()
