"""Guangdong and Sichuan through the infno dialect, as most tests of that dialect want them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.infno_country import Country, country


@pytest.fixture
async def two_provinces(tmp_path: Path) -> AsyncIterator[Country]:
    """With the settings that `country` has by itself."""
    async with country(tmp_path) as running:
        yield running
