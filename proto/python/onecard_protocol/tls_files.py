"""The files of a TLS connection, read and checked before anything listens or connects with them.

gRPC tells of a certificate that does not go with its key only that it could not listen, and of an authority's file that
holds no certificate nothing at all.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NoReturn

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.keyfile import read_private_file


def read_tls_files(*, certificate: Path, private_key: Path, authority: Path) -> tuple[bytes, bytes, bytes]:
    """The contents of the three files (PEM), in this order.

    Raises OneCardError CONFIGURATION_INVALID that names the file: it cannot be read, is no PEM, the key is not the
    certificate's, or others than its owner may read the key.
    """
    key = read_private_file(private_key, "the TLS private key")
    contents = _read(certificate), key, _read(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")  # How strong a key must be is for those who connect to say.
    try:
        context.load_verify_locations(authority)
    except OSError:
        _refuse(f"{authority} holds no certificate (PEM) / 文件中没有证书（PEM）")
    try:
        context.load_cert_chain(certificate, private_key, password=b"")
    except OSError:
        _refuse(
            f"{certificate} and {private_key} are no certificate and its private key, unencrypted, both PEM"
            " / 两个文件不是证书及其未加密的私钥（PEM）"
        )
    return contents


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        _refuse(f"{path} cannot be read: {error.strerror} / 无法读取")


def _refuse(detail: str) -> NoReturn:
    raise OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, detail)
