"""HTTP between the adapter and local systems: a bounded server, and a client that knows whether anything was sent.

Owns sockets, sizes and times; knows nothing of what the bytes mean. The client never retries: the one retry point of
this hop is the adapter's (conventions). Whether a failed call may have been executed is decided here and only here.
"""

import asyncio
import contextlib
import errno
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web

from onecard.exchange.v1 import errors_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, OutcomeInDoubt
from onecard_protocol.tracing import TRACEPARENT, continue_trace
from onecard_protocol.value_class import value_class

BODY_BYTES_MAX: Final = 4 * 1_024 * 1_024
# A caller that takes longer than this to send its body holds a connection for nothing.
READ_MS_MAX: Final = 10_000
CONNECT_MS_MAX: Final = 2_000
# What a handler that minds the time gets beyond it before the server answers for it.
GRACE_MS: Final = 1_000
# Shorter than local servers keep idle connections, so that we rarely write into one that they are closing.
_IDLE_CONNECTION_S: Final = 4.0

_log = logging.getLogger(__name__)


@value_class(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What a local system sent. Header names are lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    answer_ms_max: int = limits.ADAPTER_ANSWER_MS
    """From arrival until the handler must have answered: a dialect says by itself that the outcome is not known."""


@value_class(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What goes back, or came back."""

    body: bytes
    content_type: str = "application/json; charset=utf-8"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[HttpRequest], Awaitable[HttpAnswer]]


BACKLOG: Final = 1_024
"""Connections that wait to be accepted: a hospital's desks may all come at once after a pause."""


class LocalHttpServer:
    """Serves POST on fixed paths.

    A handler answers every failure in its own dialect, the passing of `answer_ms_max` too; what escapes it becomes 500,
    and a handler that overruns its time by GRACE_MS is cut off with 504.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        routes: Mapping[str, Handler],
        body_bytes_max: int = BODY_BYTES_MAX,
        answer_ms_max: int = limits.ADAPTER_ANSWER_MS,
    ) -> None:
        self._host = host
        self._port = port
        self._answer_ms_max = answer_ms_max
        self._application = web.Application(client_max_size=body_bytes_max)
        for path, handler in routes.items():
            self._application.router.add_post(path, self._served(handler))
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; known after start, also where 0 was asked for."""
        return self._port

    async def start(self) -> None:
        """Listen. Raises CONFIGURATION_INVALID if the port is taken or the address is not this machine's."""
        # The stop waits for requests in progress as long as one may take, never longer.
        answer_s = (self._answer_ms_max + GRACE_MS) / 1_000
        runner = web.AppRunner(self._application, access_log=None, shutdown_timeout=answer_s)
        await runner.setup()
        # With SO_REUSEPORT a second server would take half of the connections in silence instead of failing here.
        site = web.TCPSite(runner, self._host, self._port, reuse_port=False, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise _cannot_listen(self._host, self._port, error) from error
        self._runner = runner
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening, let requests in progress finish, close. Does nothing if not started."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _served(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def serve(request: web.Request) -> web.Response:
            try:
                if request.content.is_eof():  # It is here already, as a small one mostly is: nothing to wait for.
                    body = await request.read()
                else:
                    async with asyncio.timeout(READ_MS_MAX / 1_000):
                        body = await request.read()
            except TimeoutError:
                return web.Response(status=408, text=f"the body did not arrive within {READ_MS_MAX} ms\n")
            headers = {name.lower(): value for name, value in request.headers.items()}
            continue_trace(headers.get("traceparent", ""))
            try:
                async with asyncio.timeout((self._answer_ms_max + GRACE_MS) / 1_000):
                    answer = await handler(
                        HttpRequest(path=request.path, headers=headers, body=body, answer_ms_max=self._answer_ms_max)
                    )
            except TimeoutError:
                return web.Response(status=504, text="no outcome in time; unknown, not failed: query or reverse\n")
            except Exception as error:
                # The message of an unforeseen error may quote the body: only its kind is logged.
                _log.error("handler of %s failed: %s", request.path, type(error).__name__)
                return web.Response(status=500, text="the adapter failed; the outcome is unknown\n")
            return web.Response(
                status=answer.status,
                body=answer.body,
                headers={"Content-Type": answer.content_type, **answer.headers},
            )

        return serve


class LocalHttpServers:
    """One server for each address, with the paths of all roles that listen there: a province may have one port."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, int], dict[str, Handler]] = {}
        self._servers: dict[tuple[str, int], LocalHttpServer] = {}

    def add(self, host: str, port: int, path: str, handler: Handler) -> None:
        """Serve a path, once started. Raises CONFIGURATION_INVALID if another role has it."""
        routes = self._routes.setdefault((host, port), {})
        if path in routes:
            raise OneCardError(
                errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                f"two roles listen at {host}:{port}{path} / 两个角色监听同一地址",
            )
        routes[path] = handler

    def url(self, host: str, port: int, path: str) -> str:
        """Where a path is reached; with the real port where 0 was asked for and it listens."""
        server = self._servers.get((host, port))
        return f"http://{host}:{port if server is None else server.port}{path}"

    async def start(self) -> None:
        """Listen everywhere. Raises CONFIGURATION_INVALID as `LocalHttpServer.start`; call `stop` then as well."""
        for (host, port), routes in self._routes.items():
            server = LocalHttpServer(host=host, port=port, routes=routes)
            await server.start()
            self._servers[host, port] = server

    async def stop(self) -> None:
        """Stop listening; requests in progress finish first."""
        await asyncio.gather(*(server.stop() for server in self._servers.values()))
        self._servers.clear()


def _cannot_listen(host: str, port: int, error: OSError) -> OneCardError:
    if error.errno == errno.EADDRINUSE:
        problem = (
            f"port {port} of {host} is taken by another program: stop that program or choose another port"
            " / 端口已被其他程序占用，请停止该程序或改用其他端口"
        )
    else:
        problem = (
            f"cannot listen on {host}:{port} ({error.strerror}): choose an address of this machine"
            " / 无法监听，请填写本机的地址"
        )
    return OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, problem)


@dataclass(slots=True)
class _Progress:
    """Set by the trace hooks of one call, which get it as their context."""

    is_sent: bool = False


class LocalHttpClient:
    """Posts bytes to one local system. Make it inside the running loop, close it at the end."""

    def __init__(
        self,
        *,
        url: str,
        answer_ms_max: int = limits.LOCAL_CALL_MS,
        connect_ms_max: int = CONNECT_MS_MAX,
        body_bytes_max: int = BODY_BYTES_MAX,
        statuses_with_answer: frozenset[int] = frozenset({200}),
    ) -> None:
        self._url = url
        self._body_bytes_max = body_bytes_max
        self._before_close: list[Callable[[], Awaitable[None]]] = []
        # SOAP faults come with 500 and a body: a dialect says which statuses carry its answers.
        self._statuses_with_answer = statuses_with_answer
        trace = aiohttp.TraceConfig()
        trace.on_request_headers_sent.append(_note_sent)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(keepalive_timeout=_IDLE_CONNECTION_S, limit=256),
            timeout=aiohttp.ClientTimeout(total=answer_ms_max / 1_000, connect=connect_ms_max / 1_000),
            trace_configs=[trace],
        )

    async def post(self, body: bytes, *, content_type: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
        """Send and wait for the answer.

        Raises LOCAL_SYSTEM_DOWN where nothing was sent, REFUSED_BY_LOCAL_SYSTEM where an HTTP status 4xx says that the
        request was not taken, and OutcomeInDoubt for everything that fails after the first byte went out.
        """
        progress = _Progress()
        trace = {"traceparent": traceparent} if (traceparent := TRACEPARENT.get()) else {}
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers={"Content-Type": content_type, **trace, **(headers or {})},
                trace_request_ctx=progress,
                allow_redirects=False,
            ) as response:
                return await self._answer(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            what = f"{type(error).__name__} at {self._url}"
            if progress.is_sent:
                raise OutcomeInDoubt(f"the local system got the request and did not answer: {what}") from error
            raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, what) from error

    async def _answer(self, response: aiohttp.ClientResponse) -> HttpAnswer:
        if response.status not in self._statuses_with_answer:
            if 400 <= response.status < 500:
                raise OneCardError(
                    errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM,
                    f"the local system answered HTTP {response.status} at {self._url}",
                )
            raise OutcomeInDoubt(f"the local system answered HTTP {response.status} at {self._url}")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._body_bytes_max:
                raise OutcomeInDoubt(f"the answer is larger than {self._body_bytes_max} bytes")
        return HttpAnswer(
            body=bytes(body),
            content_type=response.headers.get("Content-Type", ""),
            status=response.status,
            headers={name.lower(): value for name, value in response.headers.items()},
        )

    def before_close(self, farewell: Callable[[], Awaitable[None]]) -> None:
        """Call this once when the client is closed, while it can still post; its errors do not stop the closing."""
        self._before_close.append(farewell)

    async def close(self) -> None:
        """Close all connections."""
        for farewell in self._before_close:
            try:
                await farewell()
            except OneCardError as error:
                _log.warning("a farewell to %s failed: reason %s", self._url, error.reason)
        self._before_close.clear()
        with contextlib.suppress(aiohttp.ClientError):
            await self._session.close()


async def _note_sent(session: aiohttp.ClientSession, context: object, parameters: object) -> None:
    progress = getattr(context, "trace_request_ctx", None)
    if isinstance(progress, _Progress):
        progress.is_sent = True
