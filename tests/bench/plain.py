"""tongsuopy as its users have it, for what the exchange is compared with."""

from __future__ import annotations

from unittest import mock

from onecard_protocol.signatures import native
from onecard_protocol.signatures.engine import Engine


def plain_tongsuopy() -> Engine:
    """The native engine without the exchange's own tables (docs/adr/0011)."""
    with mock.patch.object(native, "_table_verifier", return_value=None):
        return native.NativeEngine()
