"""The hub's connections to PostgreSQL: none is left open by who stops while it is made."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import psycopg
import pytest

from onecard_broker.records.pool import connect

pytest_plugins = ("tests.support.engines",)


async def test_a_connection_is_closed_by_who_is_stopped_while_it_is_set_up(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[psycopg.AsyncConnection[Any]] = []

    async def stopped(self: psycopg.AsyncConnection[Any], *_: object, **__: object) -> NoReturn:
        made.append(self)
        raise asyncio.CancelledError

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", stopped)
    with pytest.raises(asyncio.CancelledError):
        await connect(postgres_dsn, application_name="stopped", looks_up=True)
    [connection] = made
    assert connection.closed
