"""How fast this machine is beside the one that the goals were set on: `python -m tests.bench.machine`.

Measures steps of the prototype that was measured there (CPU µs, best of several rounds, noise of 15 to 20 %): an SM2
signature and its check by tongsuopy, and an empty unary call over grpc.aio, without TLS, 64 under way, in a process for
each side. None of it is code of the exchange.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

import grpc
import grpc.aio

from tests.bench.plain import plain_tongsuopy

THERE: Final = {"sm2 sign": 275, "sm2 verify": 242, "unary call, client": 171, "unary call, server": 236}
"""CPU µs on the machine of the goals."""

METHOD: Final = "/machine/Echo"
UNDER_WAY: Final = 64
CALLS: Final = 3_000
ROUNDS: Final = 5
PAYLOAD: Final = bytes(688)


def best_us(step: Callable[[], object], count: int) -> float:
    """CPU µs of a step: the best of some rounds, because whatever else runs only makes it slower."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(count):
            step()
        best = min(best, time.process_time() - begun)
    return best / count * 1e6


def signatures() -> dict[str, float]:
    """SM2 with SM3 over the bytes of a header."""
    engine = plain_tongsuopy()
    key = engine.generate_private_key()
    public = engine.public_key(key)
    content = bytes(251)
    signature = engine.sign(key, content)
    return {
        "sm2 sign": best_us(lambda: engine.sign(key, content), 200),
        "sm2 verify": best_us(lambda: engine.verify(public, content, signature), 200),
    }


class _Echo(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        del handler_call_details

        async def echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            del context
            return request

        return grpc.unary_unary_rpc_method_handler(echo)


def serve(ours: Connection) -> None:
    """The server's process: its port, then its CPU seconds whenever it is asked."""

    async def run() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Echo(),))
        ours.send(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        while await asyncio.to_thread(ours.recv):
            ours.send(time.process_time())
        await server.stop(None)

    asyncio.run(run())


async def call(port: int, server: Connection) -> dict[str, float]:
    """The client's side: what a call costs both processes."""

    def server_seconds() -> float:
        server.send(True)
        seconds: float = server.recv()
        return seconds

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)

        async def ask() -> None:
            for _ in range(CALLS // UNDER_WAY):
                await echo(PAYLOAD)

        best = {"unary call, client": float("inf"), "unary call, server": float("inf")}
        for _ in range(ROUNDS):
            before = time.process_time(), server_seconds()
            await asyncio.gather(*(ask() for _ in range(UNDER_WAY)))
            after = time.process_time(), server_seconds()
            for name, begun, ended in zip(best, before, after, strict=True):
                best[name] = min(best[name], (ended - begun) / (CALLS // UNDER_WAY * UNDER_WAY) * 1e6)
    server.send(False)
    return best


def calls() -> dict[str, float]:
    """Unary calls between two processes."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    figures = asyncio.run(call(ours.recv(), ours))
    process.join()
    return figures


def main() -> None:
    """Print each step beside what it took on the machine of the goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object alone")
    arguments = parser.parse_args()
    here = signatures() | calls()
    if arguments.json:
        print(json.dumps({name: round(figure) for name, figure in here.items()}))
        return
    print(f"{'step':<22}{'here, µs':>10}{'there, µs':>11}{'times':>8}")
    for name, figure in here.items():
        print(f"{name:<22}{figure:>10.0f}{THERE[name]:>11}{figure / THERE[name]:>8.1f}")


if __name__ == "__main__":
    main()
