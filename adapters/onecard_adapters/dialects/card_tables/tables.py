"""The tables of a card office as the adapter knows them: the columns that it reads, those that it writes, and the view.

Names stand in lower case, which every database takes for the capitals and the lower-case twins of the layout alike
(`tests/samples/card-db`). Where two tables hold the same element, card_status counts, as the layout itself says. Not
read: AAC042 to AAC044, which here are the agent who came in the holder's place, and ckkStatus, the local copy of what
the registry is asked for.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Join,
    MetaData,
    ScalarSelect,
    Select,
    String,
    Table,
    and_,
    case,
    exists,
    func,
    select,
)

from onecard_adapters.connectors.database import TIME
from onecard_adapters.connectors.table_reader import Feed

METADATA: Final = MetaData()

PERSONS: Final = Table(
    "csk_ac01",
    METADATA,
    Column("id", Integer),
    *(Column(name, String) for name in "aac002 aac003 aac004 aac005 aac007 aac058 aac161 aab301".split()),
    Column("aac006", Date),
    Column("create_date", TIME),
    Column("update_date", TIME),
)
APPLICATIONS: Final = Table(
    "csk_cc02",
    METADATA,
    Column("id", Integer),
    Column("ac01_id", Integer),
    *(Column(name, String) for name in "aca015 aca017 aaz500 aae008 aae010".split()),
    Column("create_date", TIME),
    Column("update_date", TIME),
)
STATUSES: Final = Table(
    "card_status",
    METADATA,
    Column("id", Integer),
    Column("cc02_id", Integer),
    *(Column(name, Integer) for name in "aac018 aaz502".split()),
    *(Column(name, String) for name in "aac002 modify_flag aaz161 aaz162 aae400 del_flag".split()),
    Column("create_date", TIME),
    Column("update_date", TIME),
)
TASKS: Final = Table(
    # Ours: no public source shows how a card office is told of a replacement's steps. It works off what is OPEN, and
    # tells by CONFIRMED that the agency pays benefits to the account at the bank that stands there.
    "onecard_task",
    METADATA,
    Column("replacement_id", String(32), primary_key=True),
    Column("step", String(40), primary_key=True),
    Column("direction", String(8), primary_key=True),
    Column("aac002", String(500)),
    Column("aac058", String(20)),
    *(Column(name, String(32)) for name in "old_issuer old_aaz500 new_issuer new_aaz500".split()),
    *(Column(name, Integer) for name in "old_sequence new_sequence".split()),
    Column("state", String(10)),  # OPEN, DONE, REFUSED; then CONFIRMED, TOLD
    Column("aaz502_before", Integer),  # Of OLD_SUPERSEDED: what its undoing puts back.
    Column("local_id", String(64)),
    Column("reason", String(200)),  # Of REFUSED.
    Column("aae008", String(20)),  # Of CONFIRMED.
    Column("create_date", TIME),
    Column("update_date", TIME),
)

_SAME_NUMBER: Final = "4"
_REPLACING: Final = ("2", "3", _SAME_NUMBER)

_CARD: Final = APPLICATIONS.alias("card")
_PRIOR: Final = APPLICATIONS.alias("prior")


def _updated(table: FromClause) -> ColumnElement[datetime.datetime]:
    return func.coalesce(table.c.update_date, table.c.create_date, type_=TIME)


def _sequence(application: FromClause) -> ColumnElement[int]:
    """1 for the first card under a number, one more for each same-number replacement up to this application."""
    earlier = APPLICATIONS.alias()
    replaced = (
        select(func.count())
        .select_from(earlier)
        .where(earlier.c.aaz500 == application.c.aaz500, earlier.c.aca017 == _SAME_NUMBER)
        .where(earlier.c.id <= application.c.id)
        .scalar_subquery()
    )
    return 1 + replaced


def _prior_id(made: Sequence[int]) -> ScalarSelect[int]:
    """The person's newest earlier application that became a card; of a same-number replacement, under its number."""
    earlier, status = APPLICATIONS.alias(), STATUSES.alias()
    became_a_card = exists().where(status.c.cc02_id == earlier.c.id, status.c.aac018.in_(made))
    return (
        select(func.max(earlier.c.id))
        .where(earlier.c.ac01_id == _CARD.c.ac01_id, earlier.c.id < _CARD.c.id, became_a_card)
        .where((_CARD.c.aca017 != _SAME_NUMBER) | (earlier.c.aaz500 == _CARD.c.aaz500))
        .scalar_subquery()
    )


def _is_newest(made: Sequence[int]) -> ColumnElement[bool]:
    """No later status of the same application says that a card exists."""
    later = STATUSES.alias()
    return ~exists().where(later.c.cc02_id == STATUSES.c.cc02_id, later.c.id > STATUSES.c.id, later.c.aac018.in_(made))


_IS_OF_CARD: Final = _CARD.c.id == STATUSES.c.cc02_id
_IS_OF_PERSON: Final = PERSONS.c.id == _CARD.c.ac01_id

# Rows whose application or person is missing are among these, so that they are found to lack something.
_ALL: Final = STATUSES.outerjoin(_CARD, _IS_OF_CARD).outerjoin(PERSONS, _IS_OF_PERSON)


def card_rows(made: Sequence[int], joined: Join = _ALL) -> Select[Any]:
    """Cards, one row each, in the columns of `card_fields`; `made` are the AAC018 under which a card exists."""
    is_replacing = and_(_CARD.c.aca017.in_(_REPLACING), _PRIOR.c.id == _prior_id(made))
    columns = select(
        STATUSES.c.aaz502,
        STATUSES.c.aac018,
        STATUSES.c.aae400,
        STATUSES.c.aaz161,
        STATUSES.c.aaz162,
        STATUSES.c.del_flag,
        STATUSES.c.aac002.label("status_aac002"),
        _updated(STATUSES).label("aae036"),
        _CARD.c.aaz500,
        case((_CARD.c.aaz500.is_not(None), _sequence(_CARD))).label("ykz509"),
        _PRIOR.c.aaz500.label("ykz510"),
        case((_PRIOR.c.aaz500.is_not(None), _sequence(_PRIOR))).label("ykz511"),
        _CARD.c.aca015,
        _CARD.c.aca017,
        _CARD.c.aae008,
        _CARD.c.aae010,
        *(PERSONS.c[name] for name in "aac002 aac003 aac004 aac005 aac006 aac007 aac058 aac161 aab301".split()),
    )
    return columns.select_from(joined.outerjoin(_PRIOR, is_replacing)).where(_is_newest(made))


def one_card(made: Sequence[int], number: str, sequence: int) -> Select[Any]:
    """The row of one card with its number `row_key`, if there is one."""
    is_it = and_(_CARD.c.aaz500 == number, _sequence(_CARD) == sequence, STATUSES.c.aac018.in_(made))
    return card_rows(made).add_columns(STATUSES.c.id.label("row_key")).where(is_it).order_by(STATUSES.c.id.desc())


def card_feeds(made: Sequence[int]) -> tuple[Feed, ...]:
    """Cards by the update times of their status, of their application and of their person."""
    by_card = _CARD.join(STATUSES, _IS_OF_CARD).outerjoin(PERSONS, _IS_OF_PERSON)
    by_person = PERSONS.join(_CARD, _IS_OF_PERSON).join(STATUSES, _IS_OF_CARD)
    feeds = (("card_status", STATUSES, _ALL), ("csk_cc02", _CARD, by_card), ("csk_ac01", PERSONS, by_person))
    return tuple(
        Feed(
            name=f"cards by {name}",
            rows=card_rows(made, joined),
            updated=_updated(table),
            order=table.c.id,
            key=STATUSES.c.id,
        )
        for name, table, joined in feeds
    )
