"""A core that answers each trade with fixed bytes, or with what a function makes of the request, over real HTTP."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from onecard_adapters.connectors.http import HttpAnswer, HttpRequest, LocalHttpServer


def read_infno(body: bytes) -> tuple[str, Any]:
    """Trade and message of infno JSON."""
    message = json.loads(body)
    return message["infno"], message


class ScriptedCore:
    """Start it, point a client at `url`, read `requests` afterwards; `read` knows the dialect."""

    def __init__(self, read: Callable[[bytes], tuple[str, Any]] = read_infno) -> None:
        self.script: dict[str, bytes | Callable[[Any], bytes]] = {}
        self.requests: list[Any] = []
        self._read = read
        self._server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/core": self._answer})

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    async def stop(self) -> None:
        """Stop."""
        await self._server.stop()

    @property
    def url(self) -> str:
        """Where trades are posted to."""
        return f"http://127.0.0.1:{self._server.port}/core"

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        trade, message = self._read(request.body)
        self.requests.append(message)
        answer = self.script[trade]
        return HttpAnswer(body=answer if isinstance(answer, bytes) else answer(message))


def success(output: Mapping[str, Any]) -> bytes:
    """A plain answer of success."""
    return json.dumps({"infcode": 0, "err_msg": None, "output": output}).encode()
