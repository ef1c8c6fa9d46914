"""The schema: migrated once, refused to programs that are too old, and dropped by day."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_broker.records.schema import check, day_of, ensure_days, migrate
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError
from onecard_protocol.explained import ExitCode
from tests.support.country import onecard
from tests.support.directories import NETWORK
from tests.support.hub_files import write_hub_configuration

pytest_plugins = ("tests.support.engines",)

DAY_MS = 24 * 3_600_000


def test_a_second_migration_finds_nothing_to_do(empty_dsn: str) -> None:
    """All migrations are applied once, each by its name."""
    assert "0001.exchange" in migrate(empty_dsn)
    assert migrate(empty_dsn) == []
    check(empty_dsn)


def test_a_database_without_schema_is_named_with_what_to_do(empty_dsn: str) -> None:
    """The command that makes it stands in the error."""
    with pytest.raises(OneCardError) as caught:
        check(empty_dsn)
    assert caught.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert "onecard hub migrate" in caught.value.detail


def test_a_program_that_is_too_old_refuses_to_start_and_says_so(postgres_dsn: str) -> None:
    """A later release contracted the schema and recorded the oldest program that may use it."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("UPDATE schema_use SET oldest_program = 2")
    for refused in (check, migrate):
        with pytest.raises(OneCardError) as caught:
            refused(postgres_dsn)
        assert caught.value.reason == errors_pb2.ERROR_REASON_STORE_TOO_NEW
        assert "generation 2" in caught.value.detail


@pytest.mark.parametrize(
    "command",
    [
        ("hub", "worker"),
        ("hub", "migrate"),
        ("directory", "import", "directory.yaml", "--yes"),
        ("directory", "revoke", "cn-44-1", "--cause", "lost", "--yes"),
        ("deadletter", "replay", "0" * 12 + "7" + "0" * 3 + "8" + "0" * 15, "--cause", "mended"),
    ],
    ids=" ".join,
)
def test_a_command_that_is_too_old_ends_before_it_writes_and_says_so(
    postgres_dsn: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Commands that write to the database, as a person runs them."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute("UPDATE schema_use SET oldest_program = 2")
    (tmp_path / "directory.yaml").write_text(f"network: {NETWORK}\nparticipants: {{}}\n")
    config = write_hub_configuration(tmp_path, postgres_dsn)
    given = [str(tmp_path / word) if word == "directory.yaml" else word for word in command]

    ended = onecard(*given, "--config", str(config))

    assert ended.code == ExitCode.NOT_SET_UP
    assert "STORE_TOO_NEW" in ended.errors
    assert "needs program generation 2 or newer, this one is 1" in ended.errors
    assert "Traceback" not in ended.errors


def test_what_was_written_before_its_day_was_made_moves_into_it(postgres_dsn: str) -> None:
    """A hub that did not keep house for days wrote into the default partitions; then its days are made all the same."""
    at_ms = 1_790_000_000_000
    days = {"early": day_of(at_ms), "of no day": day_of(at_ms) + 30}
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        for sender, day in days.items():
            connection.execute(
                "INSERT INTO known_messages (day, partition, sender, id, digest, recipient, method, subject, state,"
                " aggregates) VALUES (%s, 0, %s, '', '', '', '', '', '', '')",
                (day, sender),
            )
        ensure_days(postgres_dsn, at_ms)
        rows = connection.execute("SELECT sender, tableoid::regclass::text FROM known_messages ORDER BY 1").fetchall()
    assert rows == [("early", f"known_messages_d{days['early']}"), ("of no day", "known_messages_rest")]


def names_of_days(dsn: str) -> set[str]:
    """The day tables that stand."""
    with psycopg.connect(dsn) as connection:
        return {name for (name,) in connection.execute("SELECT relname FROM pg_class WHERE relname ~ '_d[0-9]+$'")}


@pytest.fixture
def old_days(postgres_dsn: str) -> set[str]:
    """Day tables of a time that is over for known messages, and not for outputs (rules 2 and 8)."""
    at_ms = now_ms() - limits.MESSAGE_AGE_MS_MAX - 5 * DAY_MS
    ensure_days(postgres_dsn, at_ms)
    days = range(day_of(at_ms) - 1, day_of(at_ms) + 3)
    names = {f"{table}_d{day}" for table in ("known_messages", "outputs") for day in days}
    assert names <= names_of_days(postgres_dsn)
    return names


def test_days_are_made_ahead_and_dropped_when_their_time_is_over(postgres_dsn: str, old_days: set[str]) -> None:
    """Known messages live seven days, outputs thirty (rules 2 and 8)."""
    at_ms = now_ms()
    ensure_days(postgres_dsn, at_ms)
    left = names_of_days(postgres_dsn)
    assert {name for name in old_days if name.startswith("outputs")} == old_days & left
    assert f"known_messages_d{day_of(at_ms) + 2}" in left


@pytest.mark.parametrize("apart_ms", [40 * DAY_MS, -3_600_000], ids=["ahead", "behind"])
def test_nothing_is_dropped_while_our_clock_and_the_databases_are_apart(
    postgres_dsn: str, old_days: set[str], apart_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    """By a wrong clock messages that are still known would be new again, and outputs lost before they are published."""
    caplog.clear()
    ensure_days(postgres_dsn, now_ms() + apart_ms)
    assert old_days <= names_of_days(postgres_dsn)
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "no day tables are dropped" in error
    assert "set the wrong one right" in error


def test_a_day_ends_by_the_earlier_of_two_clocks(
    postgres_dsn: str, old_days: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where both count, outputs of less than thirty days by the database's clock stay."""
    monkeypatch.setattr(limits, "DROPPING_CLOCK_SKEW_MS_MAX", 50 * DAY_MS)
    ensure_days(postgres_dsn, now_ms() + 40 * DAY_MS)
    assert {name for name in old_days if name.startswith("outputs")} == old_days & names_of_days(postgres_dsn)
