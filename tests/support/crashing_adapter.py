"""An adapter process whose local system never answers the first call: it is killed from outside, and started again."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from onecard.medical.v1 import settlement_pb2, settlement_pb2_grpc
from onecard_adapters.runtime.context import ExchangeContext
from onecard_adapters.runtime.sealing import load_sealer
from onecard_adapters.sdk.assembly import Connection, Signatures
from onecard_adapters.sdk.exchange import Exchange
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner


class Local(settlement_pb2_grpc.SettlementServiceServicer):
    """Hangs when it is called for the first time, and answers a recovery."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    async def Settle(  # noqa: N802
        self, request: settlement_pb2.SettleRequest, context: ExchangeContext
    ) -> settlement_pb2.SettleResponse:
        """Leave a trace on disk, then hang or answer."""
        with self._trace.open("a") as trace:
            trace.write(f"called {context.is_recovery}\n")
        if not context.is_recovery:
            await asyncio.Event().wait()
        return settlement_pb2.SettleResponse(settlement_id="recovered")


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
    settlement_pb2_grpc.add_SettlementServiceServicer_to_server(Local(Path(configuration["trace"])), exchange)
    async with exchange:
        raise await exchange.wait_failed()


if __name__ == "__main__":
    asyncio.run(main())
