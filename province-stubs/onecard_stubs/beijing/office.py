"""What the card office does, each piece of work one transaction of its database.

The office ends a temporary loss by itself (AAZ163 to AAZ165), the account's apart from the card's.
"""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy
from sqlalchemy import RowMapping, func, select, update

from onecard_protocol.china_time import SHANGHAI
from onecard_stubs.beijing import tables
from onecard_stubs.beijing.columns_key import ColumnsKey
from onecard_stubs.beijing.rows import PROVINCE_AREA, CardRows, next_id
from onecard_stubs.beijing.tables import (
    ACCOUNT_IN_USE,
    ACCOUNT_LOST,
    APPLICATIONS,
    CANCELLED,
    ENABLED,
    ENDED,
    IN_USE,
    LOCKED,
    LOST,
    MADE,
    NEW,
    OPENING_FAILED,
    PERSONS,
    REISSUE,
    REPLACEMENT,
    SAME_NUMBER,
    SEALED,
    STATUSES,
    TASKS,
    TEMPORARILY_LOST,
    VOID,
)
from onecard_stubs.population import Population, bank_card_number, card_number

BENEFIT_STEP: Final = "待遇发放账户变更"

_BATCH_WINDOW: Final = timedelta(hours=2)
_RELEASE_AFTER_S: Final = 10 * 24 * 3_600
_NEW_NUMBERS: Final = 500_000
_TIME_FORM: Final = "%Y-%m-%d %H:%M:%S"


class CardOffice:
    """The office on one database. Its methods block, and may be called from any thread, one at a time."""

    def __init__(self, url: str, key: ColumnsKey, population: Population, *, holders: int) -> None:
        """The first `holders` people have a card from the start, the others are there to get one."""
        self._engine = sqlalchemy.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            sqlalchemy.event.listen(self._engine, "connect", _prepare_sqlite)
        self._key = key
        self._rows = CardRows(key)
        self._population = population
        self._holders = holders
        self._turn = threading.Lock()

    def close(self) -> None:
        """Disconnect."""
        self._engine.dispose()

    def open(self) -> None:
        """Make the tables, and cards for the first people, where the database is empty."""
        with self._turn, self._engine.begin() as connection:
            tables.METADATA.create_all(connection)
            if connection.execute(select(func.count()).select_from(PERSONS)).scalar_one():
                return
            choice = random.Random(PROVINCE_AREA)
            holders = [*self._population.people[: self._holders], *self._population.rare_named]
            for index, person in enumerate(holders, start=1):
                issued = _now() - timedelta(days=choice.randrange(200, 3_400))
                self._rows.insert_person(connection, index, person, issued)
                self._rows.insert_card(
                    connection,
                    index,
                    person,
                    issued,
                    kind=NEW,
                    number=person.card_number,
                    aac018=ENABLED,
                    aaz502=IN_USE,
                )

    # ---- the hotline and the counter -------------------------------------------------------------------------------

    def report_lost(
        self, who: Mapping[str, Any], *, is_formal: bool, release_after_s: float | None = None
    ) -> dict[str, Any]:
        """A loss, formal or for the time being; the latter ends by itself, the account's at the same time."""
        now = _now()
        values: dict[str, Any] = {"aaz502": LOST, "aae200": "1", "aac019": ACCOUNT_LOST}
        if not is_formal:
            ends = now + timedelta(seconds=_RELEASE_AFTER_S if release_after_s is None else release_after_s)
            released = ends.strftime(_TIME_FORM)
            values |= {"aaz502": TEMPORARILY_LOST, "aaz163": "1", "aaz164": released, "aaz165": released}
        return self._change(who, (IN_USE, TEMPORARILY_LOST), values, now)

    def report_found(self, who: Mapping[str, Any]) -> dict[str, Any]:
        """The end of a loss, of a card for which no other was made."""
        values = {"aaz502": IN_USE, "aac019": ACCOUNT_IN_USE, "aaz163": "2", "aaz164": None, "aaz165": None}
        return self._change(who, (LOST, TEMPORARILY_LOST), values, _now(), is_newest=True)

    def set_status(self, who: Mapping[str, Any], aaz502: int) -> dict[str, Any]:
        """Any other status, such as 3 (locked) or 9 (cancelled), from any but the ended ones."""
        return self._change(who, (SEALED, IN_USE, LOST, LOCKED, TEMPORARILY_LOST), {"aaz502": aaz502}, _now())

    def enable(self, who: Mapping[str, Any], *, ends_old: bool = False) -> dict[str, Any]:
        """Enable the newest card that was made; with `ends_old` the office ends the former ones itself."""
        now = _now()
        with self._turn:
            with self._engine.begin() as connection:
                card = self._rows.find(connection, who, (SEALED,))
                if ends_old:
                    for old in self._rows.cards(connection, card["ac01_id"]):
                        if old["id"] != card["id"] and old["aaz502"] not in (CANCELLED, VOID):
                            self._rows.write(
                                connection, old, {"aaz502": CANCELLED, "aac018": ENDED, "aae500": "1"}, now
                            )
                self._rows.write(connection, card, {"aaz502": IN_USE, "aac018": ENABLED, "aac019": ACCOUNT_IN_USE}, now)
            return _done(card)

    def produce(self, identity_number: str, *, kind: str = NEW, is_instant: bool = True) -> dict[str, Any]:
        """Make a card, not enabled: the first, or one that follows another (2 lost, 3 replaced, 4 under its number)."""
        person = self._population.by_identity_number(identity_number)
        if person is None or kind not in (NEW, REISSUE, REPLACEMENT, SAME_NUMBER):
            raise ValueError("no such person, or no such kind of production")
        now = _now()
        with self._turn:
            with self._engine.begin() as connection:
                person_id = self._rows.person_id(connection, person)
                if person_id is None:
                    person_id = next_id(connection, PERSONS)
                    self._rows.insert_person(connection, person_id, person, now)
                before = self._rows.cards(connection, person_id)
                if (kind == NEW) == bool(before):
                    raise ValueError("a new card is the first, and any other follows one")
                fresh = card_number(_NEW_NUMBERS + next_id(connection, APPLICATIONS))
                number = before[-1]["aaz500"] if kind == SAME_NUMBER else fresh if before else person.card_number
                account = bank_card_number(_NEW_NUMBERS + next_id(connection, APPLICATIONS))
                card = self._rows.insert_card(
                    connection,
                    person_id,
                    person,
                    now,
                    kind=kind,
                    number=number,
                    aac018=MADE,
                    aaz502=SEALED,
                    aca015="1" if is_instant else "2",
                    aae010=self._key.encrypt(account if before else person.bank_card_number),
                )
            return _done(card)

    def open_batch(self, count: int, *, failures: int = 0, employer: str = "示例单位") -> dict[str, Any]:
        """An employer opens cards for people who have none: submitted, and made but for so many openings that fail."""
        if not 0 <= failures <= count:
            raise ValueError("of so many cards no fewer than none fail, and no more than all")
        now = _now()
        numbers: list[str] = []
        with self._turn, self._engine.begin() as connection:
            without = [
                one for one in self._population.people[self._holders :] if self._rows.person_id(connection, one) is None
            ]
            if len(without) < count:
                raise ValueError(f"only {len(without)} people are without a card")
            for place, person in enumerate(without[:count]):
                person_id = next_id(connection, PERSONS)
                self._rows.insert_person(connection, person_id, person, now)
                failed = place < failures
                self._rows.insert_card(
                    connection,
                    person_id,
                    person,
                    now,
                    kind=NEW,
                    number=person.card_number,
                    aac018=OPENING_FAILED if failed else MADE,
                    aaz502=SEALED,
                    aca016="2",
                    aab004=employer,
                    aae165="证件信息核验不一致" if failed else None,
                )
                numbers.append(person.identity_number)
        return {"opened": count - failures, "failed": failures, "identity_numbers": numbers, "committed_ms": _ms()}

    # ---- what the office does by itself ----------------------------------------------------------------------------

    def release(self) -> int:
        """End the temporary losses whose time has come, the civil and the financial ones each by their own time."""
        now = _now()
        text = now.strftime(_TIME_FORM)
        is_automatic = STATUSES.c.aaz163 == "1"
        civil = is_automatic & (STATUSES.c.aaz502 == TEMPORARILY_LOST) & (STATUSES.c.aaz165 <= text)
        financial = is_automatic & (STATUSES.c.aac019 == ACCOUNT_LOST) & (STATUSES.c.aaz164 <= text)
        with self._turn, self._engine.begin() as connection:
            released = connection.execute(
                update(STATUSES).where(civil).values(aaz502=IN_USE, aaz165=None, update_date=now)
            ).rowcount
            connection.execute(
                update(STATUSES).where(financial).values(aac019=ACCOUNT_IN_USE, aaz164=None, update_date=now)
            )
            return released

    def open_steps(self) -> list[dict[str, Any]]:
        """The steps of replacements that wait to be worked off."""
        with self._turn, self._engine.begin() as connection:
            rows = connection.execute(select(TASKS).where(TASKS.c.state == "OPEN").order_by(TASKS.c.create_date))
            return [dict(row) for row in rows.mappings()]

    def end_step(self, task: Mapping[str, Any], *, refused: str | None = None) -> None:
        """Work a step off, or refuse it."""
        is_it = [TASKS.c[name] == task[name] for name in ("replacement_id", "step", "direction")]
        values = {"state": "REFUSED" if refused else "DONE", "reason": refused, "update_date": _now()}
        local_id = None if refused else f"BJ{task['replacement_id'][-8:]}{task['step']}"
        with self._turn, self._engine.begin() as connection:
            connection.execute(update(TASKS).where(*is_it).values(**values, local_id=local_id))

    def confirm_benefit_account(self, who: Mapping[str, Any], bank: str) -> dict[str, Any]:
        """The agency changed the account that a person's benefits are paid to, as a replacement had asked for."""
        with self._turn, self._engine.begin() as connection:
            card = self._rows.find(connection, who, None)
            changed = connection.execute(
                update(TASKS)
                .where(TASKS.c.step == BENEFIT_STEP, TASKS.c.state == "DONE", TASKS.c.aac002 == card["aac002"])
                .values(state="CONFIRMED", aae008=bank, update_date=_now())
            ).rowcount
            if not changed:
                raise ValueError("no change of a benefit account is asked for")
        return {"confirmed": changed, "committed_ms": _ms()}

    def hourly_batch(self, *, repeats: int, seed: int) -> dict[str, Any]:
        """Write all rows of the last two hours anew, so many times, in an order and with times that `seed` decides."""
        shuffle = random.Random(seed)
        since = _now() - _BATCH_WINDOW
        written = 0
        for _ in range(repeats):
            with self._turn, self._engine.begin() as connection:
                updated = func.coalesce(STATUSES.c.update_date, STATUSES.c.create_date)
                keys = list(connection.execute(select(STATUSES.c.id).where(updated >= since)).scalars())
                shuffle.shuffle(keys)
                for key in keys:
                    at = _now() - timedelta(seconds=shuffle.randrange(int(_BATCH_WINDOW.total_seconds())))
                    connection.execute(update(STATUSES).where(STATUSES.c.id == key).values(update_date=at))
                written += len(keys)
        return {"rows": written, "committed_ms": _ms()}

    def disagree(self, who: Mapping[str, Any], *, aac019: int | None, ckkstatus: str | None) -> dict[str, Any]:
        """Put a card's financial status, or the copy of the registry's, to what its AAZ502 contradicts."""
        values = {"aac019": aac019, "ckkstatus": ckkstatus}
        told = {name: value for name, value in values.items() if value is not None}
        return self._change(who, (SEALED, IN_USE, LOST, LOCKED, TEMPORARILY_LOST, CANCELLED), told, _now())

    def show(self, who: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A person's cards, oldest first."""
        with self._turn, self._engine.begin() as connection:
            card = self._rows.find(connection, who, None)
            names = "id aaz500 aca017 aac018 aac019 aaz502 aae400 ckkstatus aaz161 aaz165".split()
            return [{name: row[name] for name in names} for row in self._rows.cards(connection, card["ac01_id"])]

    def count(self) -> dict[str, int]:
        """Rows by table."""
        with self._turn, self._engine.begin() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (PERSONS, APPLICATIONS, STATUSES, TASKS)
            }

    def _change(
        self,
        who: Mapping[str, Any],
        allowed: Sequence[int],
        values: Mapping[str, Any],
        now: datetime,
        *,
        is_newest: bool = False,
    ) -> dict[str, Any]:
        with self._turn:
            with self._engine.begin() as connection:
                card = self._rows.find(connection, who, allowed)
                if is_newest and self._rows.cards(connection, card["ac01_id"])[-1]["id"] != card["id"]:
                    raise ValueError("another card was made for it")
                self._rows.write(connection, card, values, now)
            return _done(card)


def _done(card: RowMapping) -> dict[str, Any]:
    """What a piece of work tells of its card, with the time right after its commit in ms since 1970."""
    return {"card_number": card["aaz500"], "row": card["id"], "committed_ms": _ms()}


def _now() -> datetime:
    return datetime.now(SHANGHAI).replace(tzinfo=None, microsecond=0)


def _ms() -> int:
    return time.time_ns() // 1_000_000


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Readers do not wait for writers: the adapter reads while the office works."""
    connection.execute("PRAGMA journal_mode=WAL")
