"""The steps of a replacement in the local database.

Ending the old card is the documented change of card_status: AAZ502, AAE400, MODIFY_FLAG and UPDATE_DATE. All other
steps are the local system's own work: they are put into onecard_task, which it works off. Each step leaves its row
there, so one that is asked for twice is done once.
"""

from __future__ import annotations

import enum
import logging
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, select, update

from onecard.card.v1 import replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.connectors.database import local_now
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.card_tables import rows, tables
from onecard_adapters.dialects.card_tables.settings import CardTablesSettings
from onecard_adapters.dialects.cashier_text import cashier_text, log_text
from onecard_adapters.dialects.local_text import masked
from onecard_adapters.runtime.context import Refused
from onecard_protocol.china_time import SHANGHAI
from onecard_protocol.errors import OneCardError
from onecard_protocol.identity import normalise_identity

OLD_SUPERSEDED: Final = replacement_pb2.REPLACEMENT_STEP_OLD_SUPERSEDED
CONFIRMED_MAX: Final = 100
_REASON_CHARACTERS_MAX: Final = 200

_log = logging.getLogger(__name__)


class TaskState(enum.StrEnum):
    """How far the local system is with a step."""

    OPEN = "OPEN"
    DONE = "DONE"
    REFUSED = "REFUSED"
    RETURNED = "RETURNED"
    """The exchange was told of the refusal: asked for once more, the step is OPEN again."""
    CONFIRMED = "CONFIRMED"
    """The agency changed the account that benefits are paid to; the exchange is to be told."""
    TOLD = "TOLD"


class Steps:
    """What replacements read and write, within transactions of the database."""

    def __init__(self, settings: CardTablesSettings, mapping: rows.RowMapping, issuer: str) -> None:
        self._settings = settings
        self._mapping = mapping
        self._issuer = issuer
        self._ended = int(card_fields.state_code(values_pb2.SOCIAL_STATE_CANCELLED, mapping.tables, "aaz502"))

    def carry_out(
        self, connection: Connection, request: replacement_pb2.CarryOutStepRequest
    ) -> replacement_pb2.CarryOutStepResponse | Refused | None:
        """Do a step or ask the local system for it; None while it has not worked it off, or why it refuses.

        What was never done is undone at once, and is never carried out later. Raises REPLACEMENT_UNDONE for that,
        CARD_AUTHORITY, CARD_UNKNOWN or UNMAPPED_CODE.
        """
        done = self._task(connection, request, replacement_pb2.STEP_DIRECTION_FORWARD)
        undone = self._task(connection, request, replacement_pb2.STEP_DIRECTION_BACK)
        is_forward = request.direction == replacement_pb2.STEP_DIRECTION_FORWARD
        if is_forward and undone is not None:
            raise OneCardError(errors_pb2.ERROR_REASON_REPLACEMENT_UNDONE, "the step was undone before this came")
        known = done if is_forward else undone
        if known is not None:
            return self._answer_known(connection, known)
        if not is_forward and (done is None or done["state"] in {TaskState.REFUSED, TaskState.RETURNED}):
            values = self._new_task(request, state=TaskState.DONE)
            connection.execute(tables.TASKS.insert().values(values))
            return _answer(values, was_already=True)
        if request.step == OLD_SUPERSEDED:
            return self._change_status(connection, request, done)
        connection.execute(tables.TASKS.insert().values(self._new_task(request, state=TaskState.OPEN)))
        return None

    def _answer_known(
        self, connection: Connection, task: RowMapping
    ) -> replacement_pb2.CarryOutStepResponse | Refused | None:
        """The answer of a step that stands there; a refusal is told once, so that a person can have it asked again."""
        after = {TaskState.REFUSED: TaskState.RETURNED, TaskState.RETURNED: TaskState.OPEN}.get(task["state"])
        if after is None:
            return _answer(task, was_already=True)
        key = (tables.TASKS.c[name] == task[name] for name in ("replacement_id", "step", "direction"))
        connection.execute(update(tables.TASKS).where(*key).values(state=after.value))
        if after == TaskState.OPEN:
            return None
        return Refused(
            errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM,
            "the card office refused the step",
            local_system="card-tables",
            local_code="",
            local_text=masked(task["reason"] or ""),
        )

    def is_holder(self, connection: Connection, request: replacement_pb2.CarryOutStepRequest) -> bool:
        """Whether the old card that is here to be ended is the request's person's, by the number in its row.

        True where nothing is to be ended. Raises LOCAL_FORM_INVALID, UNMAPPED_CODE, IDENTITY_INVALID.
        """
        if request.step != OLD_SUPERSEDED or request.direction != replacement_pb2.STEP_DIRECTION_FORWARD:
            return True
        row = self._old_card(connection, request)
        if row is None:
            return True
        at = f"card_status[{row['row_key']}]"
        flat = {name: self._mapping.clear(name, row[name], f"{at}.{name}") for name in ("aac002", "aac058")}
        holder = card_fields.read_person(flat, self._mapping.tables, at)
        return _identity(holder) == _identity(request.person)

    def confirmed(self, connection: Connection, after: str = "") -> list[replacement_pb2.ConfirmBenefitAccountRequest]:
        """What the agency confirmed and the exchange was not told, behind a replacement id, in the order of the ids.

        At most CONFIRMED_MAX; a row that cannot be read is marked as refused.
        """
        table = tables.TASKS
        found = connection.execute(
            select(table)
            .where(table.c.state == TaskState.CONFIRMED.value, table.c.replacement_id > after)
            .order_by(table.c.replacement_id)
            .limit(CONFIRMED_MAX)
        )
        requests: list[replacement_pb2.ConfirmBenefitAccountRequest] = []
        for row in found.mappings().all():
            try:
                requests.append(self._confirmation(row))
            except OneCardError as error:
                _log.error("benefit accounts: %s", log_text(error))
                self.told(connection, row["replacement_id"], error)
        return requests

    def told(self, connection: Connection, replacement_id: str, refused: OneCardError | None) -> None:
        """The exchange was told that the agency confirmed; `refused` is why it did not take it, for the staff."""
        table = tables.TASKS
        state = TaskState.TOLD if refused is None else TaskState.REFUSED
        reason = None if refused is None else cashier_text(refused, "")[:_REASON_CHARACTERS_MAX]
        connection.execute(
            update(table)
            .where(table.c.replacement_id == replacement_id, table.c.state == TaskState.CONFIRMED.value)
            .values(state=state.value, reason=reason)
        )

    def _confirmation(self, row: RowMapping) -> replacement_pb2.ConfirmBenefitAccountRequest:
        at = f"onecard_task[{row['replacement_id']}]"
        flat = {name: self._mapping.clear(name, row[name], f"{at}.{name}") for name in ("aac002", "aac058", "aae008")}
        bank = card_fields.required(flat, "aae008", at)
        return replacement_pb2.ConfirmBenefitAccountRequest(
            person=card_fields.read_person(flat, self._mapping.tables, at),
            replacement_id=row["replacement_id"],
            bank=self._mapping.tables["bank"].to_national(bank, f"{at}.aae008").code,
        )

    def _change_status(
        self, connection: Connection, request: replacement_pb2.CarryOutStepRequest, done: RowMapping | None
    ) -> replacement_pb2.CarryOutStepResponse | None:
        """End the old card; or, where `done` is the row of its end, undo that."""
        if request.old_card.issuer != self._issuer:
            raise OneCardError(errors_pb2.ERROR_REASON_CARD_AUTHORITY, "the old card is another issuer's")
        row = self._old_card(connection, request)
        if row is None:
            raise OneCardError(errors_pb2.ERROR_REASON_CARD_UNKNOWN, "the local system has no such card")
        changed = self._end(row) if done is None else self._restore(done, row)
        values = self._new_task(request, state=TaskState.DONE, local_id=str(row["row_key"]), before=row["aaz502"])
        if changed:
            connection.execute(
                update(tables.STATUSES)
                .where(tables.STATUSES.c.id == row["row_key"])
                .values(**changed, modify_flag="1", update_date=values["update_date"])
            )
        connection.execute(tables.TASKS.insert().values(values))
        return _answer(values, was_already=not changed)

    def _old_card(self, connection: Connection, request: replacement_pb2.CarryOutStepRequest) -> RowMapping | None:
        statement = tables.one_card(self._mapping.made, request.old_card.number, request.old_card.sequence or 1)
        return connection.execute(statement.with_for_update(of=tables.STATUSES)).mappings().first()

    def _end(self, row: RowMapping) -> dict[str, Any]:
        if row["aaz502"] == self._ended:
            return {}
        return {"aaz502": self._ended, "aae400": self._settings.superseded_cause}

    def _restore(self, done: RowMapping, row: RowMapping) -> dict[str, Any]:
        """What the undoing puts back: only what the step itself changed, and nothing that was changed since."""
        is_ours = row["aaz502"] == self._ended and row["aae400"] == self._settings.superseded_cause
        if done["aaz502_before"] == self._ended or not is_ours:
            return {}
        return {"aaz502": done["aaz502_before"], "aae400": None}

    def _task(
        self,
        connection: Connection,
        request: replacement_pb2.CarryOutStepRequest,
        direction: replacement_pb2.StepDirection,
    ) -> RowMapping | None:
        table = tables.TASKS
        return (
            connection.execute(
                select(table).where(
                    table.c.replacement_id == request.replacement_id,
                    table.c.step == card_fields.step_code(request.step, self._mapping.tables, "onecard_task.step"),
                    table.c.direction == _direction(direction),
                )
            )
            .mappings()
            .first()
        )

    def _new_task(
        self,
        request: replacement_pb2.CarryOutStepRequest,
        *,
        state: TaskState,
        local_id: str | None = None,
        before: int | None = None,
    ) -> dict[str, Any]:
        now = local_now()
        old, new = request.old_card, request.new_card
        person = card_fields.write_person(request.person, self._mapping.tables, "onecard_task")
        if "aac002" in self._settings.database.encrypted:
            person["aac002"] = self._mapping.cipher.encrypt(person["aac002"])
        return {
            "replacement_id": request.replacement_id,
            "step": card_fields.step_code(request.step, self._mapping.tables, "onecard_task.step"),
            "direction": _direction(request.direction),
            **person,
            "old_issuer": old.issuer,
            "old_aaz500": old.number,
            "old_sequence": old.sequence or 1,
            "new_issuer": new.issuer,
            "new_aaz500": new.number,
            "new_sequence": new.sequence or 1,
            "state": state.value,
            "aaz502_before": before,
            "local_id": local_id,
            "reason": None,
            "create_date": now,
            "update_date": now,
        }


def _identity(person: exchange_values_pb2.PersonIdentity) -> str:
    return normalise_identity(person.kind.code, person.number)


def _direction(direction: replacement_pb2.StepDirection) -> str:
    return replacement_pb2.StepDirection.Name(direction).removeprefix("STEP_DIRECTION_")


def _answer(task: Any, *, was_already: bool) -> replacement_pb2.CarryOutStepResponse | None:
    if task["state"] == TaskState.OPEN:
        return None
    response = replacement_pb2.CarryOutStepResponse(was_already=was_already, local_id=task["local_id"] or "")
    response.done_time.FromDatetime(task["update_date"].replace(tzinfo=SHANGHAI))
    return response
