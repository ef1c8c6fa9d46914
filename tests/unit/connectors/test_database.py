"""A database that does not answer keeps nobody waiting for ever, and lets go when it answers again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.connectors import database as connector
from onecard_adapters.connectors.database import Database
from onecard_protocol.errors import OneCardError


@pytest.fixture
def thawed() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def _one(connection: sqlalchemy.Connection) -> int:
    return int(connection.execute(sqlalchemy.text("SELECT 1")).scalar_one())


async def test_what_hangs_is_given_up_and_the_next_statement_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thawed: threading.Event
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'cards.sqlite'}")
    with monkeypatch.context() as patched:
        patched.setattr(connector, "_ANSWER_MOST_S", 0.05)
        for _ in range(3):  # One more than run at a time.
            with pytest.raises(OneCardError) as hung:
                await database.run(lambda connection: (_one(connection), thawed.wait()))
            assert hung.value.reason == errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN
            assert hung.value.detail == "the database did not answer in 0.05 s"
    assert await database.run(_one) == 1
    monkeypatch.setattr(connector, "_CLOSE_MOST_S", 0.05)
    await database.close()
    assert not thawed.is_set()


async def test_closing_lets_what_runs_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(f"sqlite:///{tmp_path / 'cards.sqlite'}")
    begun, finished = threading.Event(), threading.Event()

    def works(connection: sqlalchemy.Connection) -> None:
        begun.set()
        finished.wait(0.05)
        _one(connection)
        finished.set()

    with monkeypatch.context() as patched:
        patched.setattr(connector, "_ANSWER_MOST_S", 0.01)
        with pytest.raises(OneCardError):
            await database.run(works)
    assert begun.is_set()
    await database.close()
    assert finished.is_set()
