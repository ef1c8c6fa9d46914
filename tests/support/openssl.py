"""The OpenSSL command as a third implementation of SM2, without anything of the product in between."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from pathlib import Path

_PUBLIC_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")


def public_pem(public_key: bytes) -> bytes:
    return _pem("PUBLIC KEY", _PUBLIC_PREFIX + public_key)


def private_pem(private_key: bytes, public_key: bytes) -> bytes:
    """RFC 5915 with the curve's name."""
    return _pem(
        "EC PRIVATE KEY",
        bytes.fromhex("30770201010420")
        + private_key
        + bytes.fromhex("a00a06082a811ccf5501822da144034200")
        + public_key,
    )


def verify(public_key: bytes, content: bytes, der: bytes, user_id: str) -> bool:
    """Whether `openssl pkeyutl` verifies; a refusal is told from a failure of the command by its words."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        (files / "public.pem").write_bytes(public_pem(public_key))
        (files / "signature.der").write_bytes(der)
        (files / "content.bin").write_bytes(content)
        result = _pkeyutl(
            files, "-verify", "-pubin", "-inkey", "public.pem", "-sigfile", "signature.der", user_id=user_id
        )
    if result.returncode == 0:
        return True
    assert b"Signature Verification Failure" in result.stdout, result.stderr.decode()
    return False


def sign(private_key: bytes, public_key: bytes, content: bytes, user_id: str) -> bytes:
    """A DER signature by `openssl pkeyutl`."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        (files / "private.pem").write_bytes(private_pem(private_key, public_key))
        (files / "content.bin").write_bytes(content)
        result = _pkeyutl(files, "-sign", "-inkey", "private.pem", "-out", "signature.der", user_id=user_id)
        assert result.returncode == 0, result.stderr.decode()
        return (files / "signature.der").read_bytes()


def _pkeyutl(files: Path, *arguments: str, user_id: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [
            "openssl",
            "pkeyutl",
            *arguments,
            *("-in", "content.bin", "-rawin", "-digest", "sm3", "-pkeyopt", f"distid:{user_id}"),
        ],
        cwd=files,
        capture_output=True,
        timeout=30,
        check=False,
    )


def _pem(label: str, der: bytes) -> bytes:
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), base64.encodebytes(der), label.encode())
