"""Every SM2 engine there is, for tests that all of them must pass."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from onecard_protocol.signatures import native
from onecard_protocol.signatures.engine import Engine, native_engine, pure_engine
from tests.bench.plain import plain_tongsuopy


def new_engine() -> Engine:
    """The native engine as the first of a process makes it."""
    native._table_verifier.cache_clear()
    try:
        return native.NativeEngine()
    finally:
        native._table_verifier.cache_clear()


_ENGINES: Sequence[tuple[str, Engine]] = (
    ("tongsuopy", native_engine()),
    ("tongsuopy without tables", plain_tongsuopy()),
    ("gmssl", pure_engine()),
)

every_engine = pytest.mark.parametrize("engine", [engine for _, engine in _ENGINES], ids=[name for name, _ in _ENGINES])
