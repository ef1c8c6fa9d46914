"""From the configuration to what an exchange needs: certificates, the signing key, the store's key."""

from __future__ import annotations

import logging
import os

import grpc

from onecard_adapters.sdk.assembly import Connection, Signatures
from onecard_adapters.settings import AdapterSettings, TlsFiles, invalid_configuration
from onecard_protocol.signatures.engine import best_engine
from onecard_protocol.signatures.keyfile import (
    PASSPHRASE_VARIABLE,
    find_passphrase,
    load_signer,
    read_key_file,
)
from onecard_protocol.tls_files import read_tls_files

_log = logging.getLogger(__name__)


def connection_of(settings: AdapterSettings) -> Connection:
    """Who we are and where the hub is. Raises CONFIGURATION_INVALID: a TLS file that cannot be read, an open key."""
    hub = settings.hub
    return Connection(
        participant=settings.participant,
        network=settings.network,
        gateways=hub.gateways,
        hub_keys={key.key_id: bytes.fromhex(key.public_key) for key in hub.keys},
        credentials=None if hub.tls is None else _credentials(hub.tls),
        server_name=hub.server_name,
    )


def signatures_of(settings: AdapterSettings) -> Signatures:
    """The signing key, opened, and the engine. Raises CONFIGURATION_INVALID: wrong passphrase, file or participant."""
    engine = best_engine()
    if not engine.is_native:
        _log.warning("this adapter signs in Python alone; a few messages a second is what it can do")
    file = settings.signing_key.file
    passphrase = find_passphrase(settings.signing_key.passphrase_file, os.environ)
    if passphrase is None:
        raise invalid_configuration(
            f"no passphrase: set signing_key.passphrase_file or {PASSPHRASE_VARIABLE}"
            f" / 缺少口令：请设置 signing_key.passphrase_file 或 {PASSPHRASE_VARIABLE}"
        )
    owner = read_key_file(file).participant
    if owner != settings.participant:
        raise invalid_configuration(
            f"{file} is a key of {owner}, this adapter is {settings.participant}"
            f" / 该密钥属于 {owner}，本适配器是 {settings.participant}"
        )
    return Signatures(signer=load_signer(file, passphrase, engine), engine=engine)


def _credentials(tls: TlsFiles) -> grpc.ChannelCredentials:
    certificate, private_key, authority = read_tls_files(
        certificate=tls.certificate_file, private_key=tls.private_key_file, authority=tls.authority_file
    )
    return grpc.ssl_channel_credentials(
        root_certificates=authority, private_key=private_key, certificate_chain=certificate
    )
