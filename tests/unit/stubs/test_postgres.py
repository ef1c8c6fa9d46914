"""What the embedded PostgreSQL says where it cannot run or does not start."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from onecard_protocol.explained import ExitCode, Explained
from onecard_stubs.dev.postgres import EmbeddedPostgres


@pytest.mark.parametrize("name", ["sp ace", "tab\t", "a=b", "a%b", "a,b", "a'b", "$(a)", "a;b"])
def test_a_path_that_the_server_would_read_otherwise_is_refused_before_anything_is_made(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(Explained, match="cannot run in") as raised:
        EmbeddedPostgres(tmp_path / name / "postgres")
    assert raised.value.explanation.exit_code is ExitCode.NOT_SET_UP
    assert list(tmp_path.iterdir()) == []


async def test_a_server_runs_under_any_other_path(tmp_path: Path) -> None:
    async with (
        EmbeddedPostgres(tmp_path / "目录@:+-_.~" / "postgres") as postgres,
        await psycopg.AsyncConnection.connect(postgres.dsn()) as connection,
    ):
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)


async def test_a_server_that_does_not_start_is_told_by_its_own_last_error_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(Explained, match="PostgreSQL did not start in") as raised:
        await EmbeddedPostgres(tmp_path).start()
    told = raised.value.explanation
    assert told.exit_code is ExitCode.UNREACHABLE
    (why,) = told.why
    assert why.startswith("initdb: error:")
    assert "not empty" in why
    assert caplog.records == []
