"""Beijing's tables in a database of a test's own, with the sample's rows and with rows of a test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import sqlalchemy

from onecard_adapters.dialects.card_tables.columns_cipher import ColumnsCipher
from onecard_adapters.dialects.card_tables.settings import CardTablesSettings
from onecard_adapters.dialects.card_tables.tables import TASKS
from onecard_adapters.profiles import models

SAMPLE: Final = Path(__file__).resolve().parents[1] / "samples" / "card-db" / "bj-card-management.sql"
KEY: Final = "00112233445566778899aabbccddeeff"
CIPHER: Final = ColumnsCipher(bytes.fromhex(KEY))
PERSON: Final = "110000196201019924"


def sample_statements(*, with_rows: bool) -> list[str]:
    """The sample's statements without what only MySQL takes."""
    text = re.sub(r"--[^\n]*", "", SAMPLE.read_text(encoding="utf-8"))
    text = re.sub(r"\s+COMMENT\s+'[^']*'", "", text).replace("DATETIME", "TIMESTAMP")
    statements = [statement.strip() for statement in text.split(";")]
    return [statement for statement in statements if statement and (with_rows or statement.startswith("CREATE"))]


def make_tables(url: str, *, with_rows: bool = False) -> sqlalchemy.Engine:
    """The tables, and the one of ours, in a new database; the sample's rows stand in the clear."""
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for statement in sample_statements(with_rows=with_rows):
            connection.exec_driver_sql(statement)
        TASKS.create(connection)
    return engine


def card_settings(directory: Path, url: str, **changes: Any) -> CardTablesSettings:
    """The shipped profile's card role on another database; `database` changes settings of it."""
    shipped = models.load_profile(Path(models.__file__).parent / "cn-11.yaml").card
    assert isinstance(shipped, CardTablesSettings)
    key_file = directory / "columns.key"
    key_file.write_text(KEY, encoding="ascii")
    database = {"url": url, "key_file": key_file, "encrypted": frozenset(), "poll_interval_ms": 50}
    values = shipped.model_dump() | changes
    values["database"] = database | changes.get("database", {})
    return CardTablesSettings.model_validate(values)


def insert(engine: sqlalchemy.Engine, table: str, **values: Any) -> None:
    """One row."""
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)


def update(engine: sqlalchemy.Engine, table: str, key: int, **values: Any) -> None:
    """Change one row."""
    changes = ", ".join(f"{name} = :{name}" for name in values)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"UPDATE {table} SET {changes} WHERE id = :id"), values | {"id": key})


def insert_card(
    engine: sqlalchemy.Engine,
    index: int,
    *,
    number: str | None = None,
    person: str = PERSON,
    updated: str | None = "2024-03-15 10:05:00",
    kind: str = "1",
    **status: Any,
) -> int:
    """A person, an application and a card in use; returns the number of its row in card_status."""
    insert(
        engine,
        "csk_ac01",
        id=1_000 + index,
        aac002=person,
        aac003="周小测",
        aac004="2",
        aac006="1962-01-01",
        aac058="01",
        aac161="CHN",
        aab301="110101",
        aac007=person,
        create_date="2015-03-01 09:00:00",
        del_flag="0",
    )
    insert(
        engine,
        "csk_cc02",
        id=2_000 + index,
        ac01_id=1_000 + index,
        aca015="1",
        aca017=kind,
        aaz500=number or f"A99{index:06d}",
        aae008="102",
        create_date="2015-03-01 09:00:00",
        del_flag="0",
    )
    values = {"aac018": 75, "aaz502": 1, "aaz161": "20240315", "del_flag": "0"} | status
    insert(
        engine,
        "card_status",
        id=3_000 + index,
        cc02_id=2_000 + index,
        aac002=person,
        aac003="周小测",
        create_date="2015-03-10 09:00:00",
        update_date=updated,
        **values,
    )
    return 3_000 + index
