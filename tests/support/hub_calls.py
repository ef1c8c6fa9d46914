"""The hub's own calls through a gateway of a test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from onecard_broker.directory.model import Directory
from onecard_broker.operations.hub_calls import HubCalls, open_channel
from onecard_broker.settings import TlsSettings
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine
from tests.support.directories import NETWORK, certificate_name
from tests.support.gateway import METHODS, Hub


@contextlib.asynccontextmanager
async def hub_calls(hub: Hub, directory: Directory) -> AsyncIterator[HubCalls]:
    """Calls with the hub's key and certificate; answers are verified by the directory."""
    files = hub.authority.issue(certificate_name("cn-00"))
    # The gateway of these tests bears a name of its own; in production it bears the hub's.
    gateway = hub.authority.issue("gateway.onecard.test")
    channel = open_channel(
        f"127.0.0.1:{hub.gateways[0].port}",
        TlsSettings(
            certificate_file=files.certificate_file,
            private_key_file=files.private_key_file,
            client_authority_file=gateway.authority_file,
        ),
        server_name="gateway.onecard.test",
    )
    async with channel:
        yield HubCalls(
            channel,
            network=NETWORK,
            directory=directory,
            methods=METHODS,
            signer=hub.signers["cn-00"],
            verifier=BlockVerifier(native_engine()),
        )
