"""An adapter process whose local system never answers the first call of one method: it is killed from outside, and
started again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from onecard.medical.v1 import settlement_pb2, settlement_pb2_grpc
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.sealing import load_sealer
from onecard_adapters.sdk.assembly import Connection, Signatures
from onecard_adapters.sdk.exchange import Exchange
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner

if TYPE_CHECKING:
    from tests.support.sdk_country import Country


class Local(settlement_pb2_grpc.SettlementServiceServicer):
    """Hangs when the method is called for the first time, and answers a recovery."""

    def __init__(self, trace: Path, hanging: str) -> None:
        self._trace = trace
        self._hanging = hanging

    async def Settle(  # noqa: N802
        self, request: settlement_pb2.SettleRequest, context: ExchangeContext
    ) -> settlement_pb2.SettleResponse:
        """Settle."""
        await self._called("Settle", context)
        return settlement_pb2.SettleResponse(settlement_id="recovered")

    async def Reverse(  # noqa: N802
        self, request: settlement_pb2.ReverseRequest, context: ExchangeContext
    ) -> settlement_pb2.ReverseResponse:
        """Reverse."""
        await self._called("Reverse", context)
        return settlement_pb2.ReverseResponse(
            result=settlement_pb2.REVERSAL_RESULT_REVERSED, original_id=request.original_id
        )

    async def _called(self, method: str, context: ExchangeContext) -> None:
        """Leave a trace on disk, then hang or answer."""
        with self._trace.open("a") as trace:
            trace.write(f"{method} {context.is_recovery}\n")
        if method == self._hanging and not context.is_recovery:
            await asyncio.Event().wait()


class CrashingAdapter:
    """The process of cn-51 as a test starts and kills it; the same store each time."""

    def __init__(self, country: Country, directory: Path, *, hanging: str) -> None:
        """`hanging` is the method whose first call is never answered."""
        self._trace = directory / "trace"
        self._trace.touch()
        configuration = {
            "gateways": [gateway.address for gateway in country.gateways],
            "hub_key": country.hub.signer.public_key.hex(),
            "private_key": country.hub.signers["cn-51"]._private_key.hex(),
            "store": str(directory / "cn-51.sqlite"),
            "store_key": str(directory / "cn-51.key"),
            "trace": str(self._trace),
            "hanging": hanging,
        }
        self._environment = {**os.environ, "CRASHING_ADAPTER": json.dumps(configuration)}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(sys.executable, __file__, env=self._environment)

    async def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    def calls(self) -> list[str]:
        """What the local system was called for, and whether as a recovery."""
        return self._trace.read_text().splitlines()


async def main() -> None:
    """Run until killed."""
    configuration = json.loads(os.environ["CRASHING_ADAPTER"])
    engine = native_engine()
    store = Path(configuration["store"])
    exchange = Exchange(
        Connection(
            participant="cn-51",
            network="test-sdk",
            gateways=tuple(configuration["gateways"]),
            hub_keys={"hub-1": bytes.fromhex(configuration["hub_key"])},
        ),
        Signatures(signer=EngineSigner(engine, "cn-51-1", bytes.fromhex(configuration["private_key"])), engine=engine),
        store_file=store,
        sealer=load_sealer(Path(configuration["store_key"]), store),
    )
    settlement_pb2_grpc.add_SettlementServiceServicer_to_server(
        Local(Path(configuration["trace"]), configuration["hanging"]), exchange
    )
    async with exchange:
        raise await exchange.wait_failed()


if __name__ == "__main__":
    asyncio.run(main())
