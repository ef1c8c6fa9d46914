"""The fixture `one`: a fake hub that knows cn-44 and cn-51 before their adapters start."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.sdk_country import Country, country


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Country]:
    async with country(tmp_path) as made:
        made.hub.add_participant("cn-44")
        made.hub.add_participant("cn-51")
        yield made
