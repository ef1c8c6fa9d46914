"""A participant's end of the exchange against a hub that runs in the test."""

from __future__ import annotations

from pathlib import Path

from onecard_adapters.runtime.sealing import load_sealer
from onecard_adapters.sdk.assembly import Connection, Signatures
from onecard_adapters.sdk.exchange import Exchange
from onecard_protocol.signatures.engine import native_engine
from tests.support.directories import NETWORK, certificate_name
from tests.support.gateway import Hub


def exchange_of(hub: Hub, directory: Path, participant: str) -> Exchange:
    """The exchange of a participant whom the hub knows, with its store in the directory; not entered yet."""
    signer = hub.signers["cn-00"]
    store = directory / f"{participant}.sqlite"
    return Exchange(
        Connection(
            participant=participant,
            network=NETWORK,
            gateways=tuple(f"127.0.0.1:{gateway.port}" for gateway in hub.gateways),
            hub_keys={signer.key_id: signer.public_key},
            credentials=hub.authority.issue(certificate_name(participant)).channel_credentials(),
        ),
        Signatures(signer=hub.signers[participant], engine=native_engine()),
        store_file=store,
        sealer=load_sealer(directory / f"{participant}.key", store),
    )
