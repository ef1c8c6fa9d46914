"""`onecard card link` and `unlink` through a real gateway: signed by the hub, decided, answered, and no number told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.explained import ExitCode, explain
from tests.support.card_reports import CARDS
from tests.support.directories import MEDICAL
from tests.support.gateway import Hub, running_hub
from tests.support.messages import citizen_number
from tests.support.operators import Operator

pytest_plugins = ("tests.support.engines",)

OLD, NEW, OTHER = (citizen_number(serial) for serial in (1, 2, 3))


def link_count(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(*) FROM cardholders WHERE linked_to IS NOT NULL").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path / "hub", patterns=(MEDICAL, CARDS)) as hub:
        yield hub


@pytest.fixture
def operator(hub: Hub, postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    return Operator(hub, postgres_dsn, tmp_path, monkeypatch)


@pytest.mark.timeout(180)
async def test_numbers_are_linked_and_the_link_is_taken_back(operator: Operator, postgres_dsn: str) -> None:
    linked = await operator.run("link", "--document", "decision 17", "--yes", "--json", numbers=(OLD, NEW))
    assert (linked.exception, linked.stdout.endswith('{"card_count": 0}\n')) == (None, True)
    assert link_count(postgres_dsn) == 1

    conflict = await operator.run("link", "--document", "decision 18", "--yes", numbers=(OLD, OTHER))
    assert isinstance(conflict.exception, OneCardError)
    assert conflict.exception.reason == errors_pb2.ERROR_REASON_LINK_CONFLICT

    unlinked = await operator.run("unlink", "--cause", "mistaken", "--yes", numbers=(OLD,))
    assert (unlinked.exception, "已解除关联" in unlinked.stdout) == (None, True)
    assert link_count(postgres_dsn) == 0
    for result in (linked, conflict, unlinked):
        assert not any(number in result.output + str(result.exception) for number in (OLD, NEW, OTHER))


async def test_nothing_is_signed_without_a_yes_a_document_and_numbers_that_are_some(
    operator: Operator, postgres_dsn: str
) -> None:
    for arguments, numbers, exit_code in (
        (("--document", "decision 17"), (OLD, NEW), ExitCode.USAGE),
        (("--document", " ", "--yes"), (OLD, NEW), ExitCode.USAGE),
        (("--document", "decision 17", "--yes"), (OLD, OLD[:-1]), ExitCode.REFUSED),
    ):
        result = await operator.run("link", *arguments, numbers=numbers)
        assert result.exception is not None
        explanation = explain(result.exception)
        assert explanation.exit_code == exit_code
        assert OLD[:-1] not in result.output + repr(explanation)
    assert link_count(postgres_dsn) == 0
