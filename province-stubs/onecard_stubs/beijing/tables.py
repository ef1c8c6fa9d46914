"""The layout of the card management database, as in tests/samples/card-db: its codes, and each column with its size.

Names stand in lower case, which every database takes for the capitals of the layout too. Ours are onecard_task, by
which the office is told of a replacement's steps, and the indexes without which every reading would be a full scan.
"""

from typing import Any, Final

from sqlalchemy import Column, Date, DateTime, Index, Integer, MetaData, String, Table, Text, func
from sqlalchemy.dialects import sqlite

SEALED, IN_USE, LOST, LOCKED, TEMPORARILY_LOST, VOID, CANCELLED = 0, 1, 2, 3, 4, 6, 9
"""AAZ502."""
SUBMITTED, OPENING_FAILED, MADE, ENABLED, ENDED = 5, 30, 75, 1, 9
"""AAC018."""
NEW, REISSUE, REPLACEMENT, SAME_NUMBER = "1", "2", "3", "4"
"""ACA017."""
ACCOUNT_NOT_ACTIVATED, ACCOUNT_IN_USE, ACCOUNT_LOST = 0, 1, 2
"""AAC019, of which no list is public: these, and 3 for closed, are ours."""
PROCESS_WORDS: Final = {
    SUBMITTED: "单位提交",
    OPENING_FAILED: "开户失败",
    MADE: "制卡成功",
    ENABLED: "启用",
    ENDED: "注销",
}

METADATA: Final = MetaData()

TIME: Final = DateTime().with_variant(
    sqlite.DATETIME(  # type: ignore[no-untyped-call]
        storage_format="%(year)04d-%(month)02d-%(day)02d %(hour)02d:%(minute)02d:%(second)02d"
    ),
    "sqlite",
)
"""Local time in whole seconds; in SQLite as the text of the layout's own rows."""


def _columns(layout: str) -> list[Column[Any]]:
    """Columns of "name:characters", "name:int", "name:date", "name:time" or "name:text"."""
    types: dict[str, Any] = {"int": Integer(), "date": Date(), "time": TIME, "text": Text()}
    pairs = (item.split(":") for item in layout.split())
    return [Column(name, types.get(kind) or String(int(kind))) for name, kind in pairs]


PERSONS: Final = Table(
    "csk_ac01",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    *_columns(
        "usercalcid:1000 aac001:100 aac002:500 aac003:1000 aac004:10 aac005:20 aac006:date aac008:100 aac009:200"
        " aac010:1000 aac031:100 aae005:1000 aae006:text aae007:60 aae015:1000 aac161:100 aab301_id:120 aac058:20"
        " acc009:500 acc010:500 create_date:time update_date:time del_flag:10 tel:1000 aab301:150 aac007:500"
    ),
)
"""个人基本信息."""

STATUSES: Final = Table(
    "card_status",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    *_columns(
        "cc02_id:int aac002:500 aac003:1000 aac018:int aac019:int modify_flag:10 aaz502:int card_type:10 aaz161:500"
        " aaz162:500 aaz163:10 aaz164:500 aaz165:500 aac042:500 aac044:1000 aac043:100 aae165:1000 aae200:100"
        " aae001:1000 aae300:100 aae400:1000 aae500:10 ckkstatus:10 create_date:time update_date:time remarks:500"
        " del_flag:10"
    ),
)
"""卡状态."""

APPLICATIONS: Final = Table(
    "csk_cc02",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    *_columns(
        "ac01_id:int aab001:200 aab004:500 aca014:20 aca017:10 aca016:10 aca015:20 aac019:200 aac018:int aaz500:100"
        " aae010:500 aae010a:500 aae008:200 aae009:200 aab301:150 acc044:200 aae165:1000 batch:500 batch_no:640"
        " service_no:640 personstatus:20 personcategory:10 insurance:1000 card_validity:200 upload_status:10"
        " create_date:time update_date:time del_flag:10 bhyytype:int reason:int serialnumber:640 platformseqid:500"
        " aae001:1000 aca018:100 personid:1000 confirmflag:10 lockflag:10 workpermitnumber:500"
    ),
)
"""个人申领."""

PROCESS_LOG: Final = Table(
    "csk_cz05",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    *_columns(
        "cc02_id:int aac018:30 aac018a:1000 aaz500:1000 aae165:1000 aae200:100 aae001:1000 aae300:100 aae400:1000"
        " create_date:time update_date:time del_flag:10 platformseqid:1000"
    ),
)
"""流程日志."""

TASKS: Final = Table(
    "onecard_task",
    METADATA,
    Column("replacement_id", String(32), primary_key=True),
    Column("step", String(40), primary_key=True),
    Column("direction", String(8), primary_key=True),
    *_columns(
        "aac002:500 aac058:20 old_issuer:32 old_aaz500:32 old_sequence:int new_issuer:32 new_aaz500:32 new_sequence:int"
        " state:10 aaz502_before:int local_id:64 reason:200 aae008:20 create_date:time update_date:time"
    ),
)
"""Ours: steps of replacements. The adapter writes OPEN, the office DONE with local_id, or REFUSED with reason. If the
agency has changed the account that benefits are paid to, CONFIRMED with the bank in AAE008; then the adapter TOLD."""

for _table in (PERSONS, STATUSES, APPLICATIONS):
    Index(f"{_table.name}_updated", func.coalesce(_table.c.update_date, _table.c.create_date), _table.c.id)
Index("card_status_application", STATUSES.c.cc02_id)
Index("csk_cc02_person", APPLICATIONS.c.ac01_id)
Index("csk_cc02_number", APPLICATIONS.c.aaz500)
