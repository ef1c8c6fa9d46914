"""Every SM2 engine there is, for tests that all of them must pass."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

import pytest

from onecard_protocol.signatures import native
from onecard_protocol.signatures.engine import Engine, native_engine, pure_engine


def engine_without_tables() -> Engine:
    """The native engine where a build of tongsuopy gives no access to Tongsuo's arithmetic."""
    with mock.patch.object(native, "TableVerifier", side_effect=AttributeError("EC_GROUP_precompute_mult")):
        return new_engine()


def new_engine() -> Engine:
    """The native engine as the first of a process makes it."""
    native._table_verifier.cache_clear()
    try:
        return native.NativeEngine()
    finally:
        native._table_verifier.cache_clear()


_ENGINES: Sequence[tuple[str, Engine]] = (
    ("tongsuopy", native_engine()),
    ("tongsuopy without tables", engine_without_tables()),
    ("gmssl", pure_engine()),
)

every_engine = pytest.mark.parametrize("engine", [engine for _, engine in _ENGINES], ids=[name for name, _ in _ENGINES])
