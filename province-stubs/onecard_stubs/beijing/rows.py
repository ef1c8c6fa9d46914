"""Rows of the office's tables, found and written inside a transaction of the caller's."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Table, func, select, update

from onecard_stubs.beijing.columns_key import ColumnsKey
from onecard_stubs.beijing.tables import (
    ACCOUNT_IN_USE,
    ACCOUNT_NOT_ACTIVATED,
    APPLICATIONS,
    ENABLED,
    ENDED,
    IN_USE,
    MADE,
    OPENING_FAILED,
    PERSONS,
    PROCESS_LOG,
    PROCESS_WORDS,
    STATUSES,
)
from onecard_stubs.population import Person

PROVINCE_AREA: Final = "110000"
_BANK: Final = "102"


class CardRows:
    """A person's row, and a card's in the tables of applications, statuses and processes."""

    def __init__(self, key: ColumnsKey) -> None:
        """By the key of the columns that are encrypted."""
        self._key = key

    def write(self, connection: Connection, card: RowMapping, values: Mapping[str, Any], now: datetime) -> None:
        """Change a card's status row; a change of AAC018 is logged."""
        changes = {**values, "modify_flag": "1", "update_date": now}
        connection.execute(update(STATUSES).where(STATUSES.c.id == card["id"]).values(changes))
        process = values.get("aac018")
        if process is not None:
            self._log(connection, card["cc02_id"], process, card["aaz500"], now)

    def find(self, connection: Connection, who: Mapping[str, Any], allowed: Sequence[int] | None) -> RowMapping:
        """The newest card of a person (identity_number), or under a number (card_number), in one of the statuses.

        Raises ValueError if there is none.
        """
        statement = select(STATUSES, APPLICATIONS.c.aaz500, APPLICATIONS.c.ac01_id, APPLICATIONS.c.aca017).join_from(
            STATUSES, APPLICATIONS, APPLICATIONS.c.id == STATUSES.c.cc02_id
        )
        if "card_number" in who:
            statement = statement.where(APPLICATIONS.c.aaz500 == str(who["card_number"]))
        else:
            statement = statement.where(STATUSES.c.aac002 == self._key.encrypt(str(who["identity_number"])))
        if allowed is not None:
            statement = statement.where(STATUSES.c.aaz502.in_(allowed))
        found = connection.execute(statement.order_by(STATUSES.c.id.desc())).mappings().first()
        if found is None:
            raise ValueError("no card of this person or number is in a state that allows it")
        return found

    def cards(self, connection: Connection, person_id: int) -> list[RowMapping]:
        """The cards of a person that were made, oldest first."""
        statement = (
            select(STATUSES, APPLICATIONS.c.aaz500, APPLICATIONS.c.aca017)
            .join_from(STATUSES, APPLICATIONS, APPLICATIONS.c.id == STATUSES.c.cc02_id)
            .where(APPLICATIONS.c.ac01_id == person_id, STATUSES.c.aac018.in_((MADE, ENABLED, ENDED)))
        )
        return list(connection.execute(statement.order_by(STATUSES.c.id)).mappings())

    def person_id(self, connection: Connection, person: Person) -> int | None:
        """The key of a person's row; None without one."""
        number = self._key.encrypt(person.identity_number)
        return connection.execute(select(PERSONS.c.id).where(PERSONS.c.aac002 == number)).scalar()

    def insert_person(self, connection: Connection, person_id: int, person: Person, at: datetime) -> None:
        """A person's row under a key that is free."""
        connection.execute(
            PERSONS.insert().values(
                id=person_id,
                aac001=person.personal_number,
                aac002=self._key.encrypt(person.identity_number),
                aac003=self._key.encrypt(person.name),
                aac004=person.sex,
                aac005=person.ethnicity,
                aac006=person.birth_day,
                aac007=self._key.encrypt(person.identity_number),
                aac058="01",
                aac161="CHN",
                aab301_id=PROVINCE_AREA,
                aab301=person.card_recognition_code[:6],
                aae005=self._key.encrypt(person.telephone),
                aae006=person.address,
                create_date=at,
                del_flag="0",
            )
        )

    def insert_card(
        self,
        connection: Connection,
        person_id: int,
        person: Person,
        at: datetime,
        *,
        kind: str,
        number: str,
        aac018: int,
        aaz502: int,
        **application: Any,
    ) -> RowMapping:
        """A card's application, status and first process; gives what `find` finds of it."""
        application_id, status_id = next_id(connection, APPLICATIONS), next_id(connection, STATUSES)
        issued = f"{at:%Y%m%d}"
        expires = f"{at.year + 10}{issued[4:]}"
        values = {
            "id": application_id,
            "ac01_id": person_id,
            "aca014": "1",
            "aca015": "2",
            "aca016": "1",
            "aca017": kind,
            "aac018": aac018,
            "aaz500": None if aac018 == OPENING_FAILED else number,
            "aae008": _BANK,
            "aae010": self._key.encrypt(person.bank_card_number),
            "aab301": PROVINCE_AREA,
            "card_validity": expires,
            "create_date": at,
            "del_flag": "0",
        }
        connection.execute(APPLICATIONS.insert().values(values | application))
        connection.execute(
            STATUSES.insert().values(
                id=status_id,
                cc02_id=application_id,
                aac002=self._key.encrypt(person.identity_number),
                aac003=self._key.encrypt(person.name),
                aac018=aac018,
                aac019=ACCOUNT_IN_USE if aaz502 == IN_USE else ACCOUNT_NOT_ACTIVATED,
                aaz502=aaz502,
                aaz161=issued,
                aaz162=expires,
                ckkstatus=str(aaz502),
                create_date=at,
                del_flag="0",
            )
        )
        self._log(connection, application_id, aac018, number, at)
        return self.find(connection, {"identity_number": person.identity_number}, (aaz502,))

    def _log(self, connection: Connection, application_id: int, process: int, number: str, at: datetime) -> None:
        connection.execute(
            PROCESS_LOG.insert().values(
                id=next_id(connection, PROCESS_LOG),
                cc02_id=application_id,
                aac018=str(process),
                aac018a=PROCESS_WORDS[process],
                aaz500=number,
                create_date=at,
                del_flag="0",
            )
        )


def next_id(connection: Connection, table: Table) -> int:
    """The key that follows the table's greatest."""
    return 1 + (connection.execute(select(func.max(table.c.id))).scalar() or 0)
