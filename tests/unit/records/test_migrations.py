"""Migrations only expand: what the released program needs of the schema stays, or the file says that it contracts."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterator

import pytest

from onecard_broker.records.schema import CONTRACTS

DIRECTORY = importlib.resources.files("onecard_broker.records") / "migrations"
FORWARD = {
    file.name: file.read_text(encoding="utf-8")
    for file in sorted(DIRECTORY.iterdir(), key=lambda file: file.name)
    if file.name.endswith(".sql") and not file.name.endswith(".rollback.sql")
}
"""Rolling back is a person's decision, and takes away by its nature."""

_CONTRACTING = {
    "takes something away": re.compile(r"\b(DROP|TRUNCATE)\b(?!\s+NOT\s+NULL)"),
    "renames": re.compile(r"\bRENAME\b"),
    "changes a type": re.compile(r"\bALTER\b.*\bTYPE\b"),
    "forbids NULL": re.compile(r"\bSET\s+NOT\s+NULL\b"),
    "adds a rule to old rows": re.compile(r"\bADD\s+(CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)\b"),
}
_NEW_COLUMN = re.compile(r"\bADD\s+(?!CONSTRAINT\b)")


def contractions(text: str) -> Iterator[str]:
    """What a program that knows only the schema before would stumble over."""
    for statement in re.sub(r"--[^\n]*", "", text).upper().split(";"):
        if re.match(r"\s*CREATE\s+(UNIQUE\s+)?(TABLE|INDEX)\b", statement):
            continue
        # The actions of one ALTER TABLE, but not the two numbers of a numeric(16, 2).
        for action in re.split(r",(?![^()]*\))", statement):
            yield from (what for what, pattern in _CONTRACTING.items() if pattern.search(action))
            if _NEW_COLUMN.search(action) and "NOT NULL" in action and "DEFAULT" not in action:
                yield "adds a column that old programs do not fill"


@pytest.mark.parametrize("name", FORWARD)
def test_a_migration_expands_or_says_that_it_contracts_and_raises_the_oldest_program(name: str) -> None:
    text = FORWARD[name]
    is_marked = text.startswith(CONTRACTS)
    assert is_marked or list(contractions(text)) == []
    assert is_marked == ("UPDATE schema_use SET oldest_program" in text)


def test_every_migration_is_looked_at() -> None:
    assert {"0001.exchange.sql", "0100.directory.sql"} <= FORWARD.keys()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE outputs",
        "ALTER TABLE outputs DROP COLUMN header",
        "alter table outputs\n    rename column header to header_bytes",
        "ALTER TABLE outputs ALTER COLUMN number TYPE integer",
        "ALTER TABLE outputs ALTER number SET DATA TYPE integer",
        "ALTER TABLE outputs ALTER COLUMN cause SET NOT NULL",
        "ALTER TABLE outputs ADD COLUMN cause text NOT NULL",
        "ALTER TABLE outputs ADD COLUMN a text, ADD amount numeric(16, 2) NOT NULL",
        "ALTER TABLE outputs ADD CONSTRAINT positive CHECK (number > 0)",
        "TRUNCATE outputs",
    ],
)
def test_what_takes_away_is_found(statement: str) -> None:
    assert list(contractions(f"-- A comment; of no matter\n{statement};"))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE more (id bytea NOT NULL, CHECK (id <> ''))",
        "CREATE INDEX outputs_sender ON outputs (sender)",
        "ALTER TABLE outputs ADD COLUMN cause text",
        "ALTER TABLE outputs ADD COLUMN amount numeric(16, 2) NOT NULL DEFAULT 0, ADD COLUMN b text",
        "ALTER TABLE outputs ALTER COLUMN cause DROP NOT NULL",
        "-- We drop nothing and rename nothing.\nINSERT INTO schema_use (oldest_program) VALUES (1)",
    ],
)
def test_what_adds_is_not(statement: str) -> None:
    assert list(contractions(f"{statement};")) == []
