"""How processes that serve for long are run."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

ALLOCATIONS_BEFORE_COLLECTION: Final = 50_000
"""Python's own number, 700, lets a hub spend a sixth of its time looking for cycles among messages that have none."""


def run_service(service: Coroutine[Any, Any, Result]) -> Result:
    """Run until it ends. What start-up made is never searched for cycles, and cycles are searched for rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS_BEFORE_COLLECTION, 20, 20)
    return asyncio.run(service)
