"""The fee lines of a stay as the hub knows them: a settlement's total is their sum (domain.md, 1.7).

A line counts from the insured province's answer to its upload until a withdrawal is answered; a return line counts with
its negative amount. The sum is compared only where the hub knows it for certain:

- A stay without lines is not compared: an outpatient visit may be settled without any, and the insured province judges.
- While an upload or withdrawal has no outcome, or where the insured province told another sum than the hub's, nothing
  is compared: a refusal by the hub must never rest on a doubt.

An interim settlement is of the lines of its days. The final one is of all lines less what standing interim settlements
took, so that a return or a late line of an interim period counts in it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2, message_pb2, values_pb2
from onecard.medical.v1 import encounter_pb2, settlement_pb2
from onecard_broker.domain.business import Accepted
from onecard_broker.domain.medical_state import Encounter, Period, decode_encounter, encounter_key
from onecard_broker.domain.model import AggregateKey, KnownMessage, MessageKey
from onecard_broker.domain.plain import take_first_answer
from onecard_broker.domain.ruling import Ruling
from onecard_broker.domain.settlement_states import Kind, Phase
from onecard_protocol.errors import OneCardError

_VERSION: Final = 1
_CERTAIN: Final = frozenset({Phase.STANDING, Phase.IN_CLEARING, Phase.CLEARED})

Line = tuple[int, str]
"""Amount in fen, and the day, ISO 8601; the day is empty where the place of care tells none."""
Change = Mapping[str, Line] | tuple[str, ...]
"""Lines to add by their id, or ids to take back; no ids take back all that are not settled."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FeeLines:
    """The lines of one encounter."""

    held: Mapping[str, Line] = dataclasses.field(default_factory=dict)
    pending: Mapping[str, Change] = dataclasses.field(default_factory=dict)
    """Uploads and withdrawals without an outcome, by message id in hex."""
    is_disputed: bool = False
    """The insured province told another sum."""

    @property
    def total_fen(self) -> int:
        """Sum of what is held."""
        return sum(amount_fen for amount_fen, _ in self.held.values())


def fee_lines_key(encounter_id: bytes) -> AggregateKey:
    """Key of the lines of an encounter."""
    return AggregateKey(f"medical/fee-lines/{encounter_id.hex()}")


def note_change(
    ruling: Ruling,
    encounter: Encounter,
    payload: encounter_pb2.UploadFeeLinesRequest | encounter_pb2.WithdrawFeeLinesRequest,
) -> Accepted:
    """An upload or withdrawal goes on; it changes the lines when it is answered."""
    lines = _lines_of(ruling, encounter.id)
    change: Change
    if isinstance(payload, encounter_pb2.UploadFeeLinesRequest):
        change = {line.line_id: (line.amount_fen, _day_of(line)) for line in payload.lines}
    else:
        change = tuple(payload.line_ids)
    pending = {**lines.pending, ruling.message.header.id.hex(): change}
    _save(ruling, encounter.id, dataclasses.replace(lines, pending=pending))
    return Accepted(aggregates=(encounter_key(encounter.id), fee_lines_key(encounter.id)))


def take_answer_of_change(ruling: Ruling, request: KnownMessage) -> MessageKey | None:
    """The first answer counts: a reply carries the change out, a rejection drops it."""
    refusal = take_first_answer(ruling, request)
    if refusal is None:
        is_done = ruling.message.header.kind == message_pb2.MESSAGE_KIND_REPLY
        end_change(ruling, request, is_done=is_done)
    return refusal


def end_change(ruling: Ruling, request: KnownMessage, *, is_done: bool) -> None:
    """An upload or withdrawal has its outcome."""
    encounter = decode_encounter(ruling.state.aggregates[request.aggregates[0]])
    lines = _lines_of(ruling, encounter.id)
    pending = dict(lines.pending)
    change = pending.pop(request.id.hex(), ())
    lines = dataclasses.replace(lines, pending=pending)
    if is_done:
        lines = dataclasses.replace(lines, held=_changed(lines.held, change, encounter))
        answer = ruling.inbound.payload
        if isinstance(answer, encounter_pb2.UploadFeeLinesResponse | encounter_pb2.WithdrawFeeLinesResponse):
            is_disputed = answer.HasField("totals") and answer.totals.total_fen != lines.total_fen
            lines = dataclasses.replace(lines, is_disputed=is_disputed)
    _save(ruling, encounter.id, lines)


def check_sum(ruling: Ruling, encounter: Encounter, terms: settlement_pb2.SettlementTerms) -> OneCardError | None:
    """FEE_MISMATCH where the hub knows that the fees of a pre-settlement or settlement are not the sum of its lines."""
    lines = _lines_of(ruling, encounter.id)
    if not lines.held or lines.pending or lines.is_disputed:
        return None
    if terms.HasField("interim_period"):
        period = iso_day(terms.interim_period.first_day), iso_day(terms.interim_period.last_day)
        if not all(day for _, day in lines.held.values()):
            return None
        sum_fen = sum(amount_fen for amount_fen, day in lines.held.values() if _is_in(day, period))
    else:
        interim = [known for known in encounter.transactions if known.kind is Kind.SETTLEMENT and known.occupies]
        interim = [known for known in interim if known.id != ruling.message.header.id]
        if any(known.phase not in _CERTAIN for known in interim):
            return None
        sum_fen = lines.total_fen - sum(known.fees_total_fen or 0 for known in interim)
    if terms.fees.total_fen == sum_fen:
        return None
    return OneCardError(
        errors_pb2.ERROR_REASON_FEE_MISMATCH,
        "the fees are not the sum of the uploaded lines",
        violations=[("terms.fees.total_fen", "is not the sum of the fee lines that the stay holds")],
    )


def iso_day(day: values_pb2.CalendarDay) -> str:
    """A day in ISO 8601, so that days compare as text."""
    return f"{day.year:04}-{day.month:02}-{day.day:02}"


def _day_of(line: encounter_pb2.FeeLine) -> str:
    return iso_day(line.day) if line.HasField("day") else ""


def _is_in(day: str, period: Period) -> bool:
    return period[0] <= day <= period[1]


def _changed(held: Mapping[str, Line], change: Change, encounter: Encounter) -> Mapping[str, Line]:
    """The lines after a change; those of settled days are not taken back by a withdrawal that names none."""
    if isinstance(change, Mapping):
        return {**held, **change}
    if change:
        return {line_id: line for line_id, line in held.items() if line_id not in change}
    settled = [known for known in encounter.transactions if known.kind is Kind.SETTLEMENT and known.occupies]
    return {
        line_id: line
        for line_id, line in held.items()
        if any(known.period is None or _is_in(line[1], known.period) for known in settled)
    }


# ---- bytes ---------------------------------------------------------------------------------------------------------


def _lines_of(ruling: Ruling, encounter_id: bytes) -> FeeLines:
    data = ruling.state.aggregates.get(fee_lines_key(encounter_id))
    if data is None:
        return FeeLines()
    value = json.loads(data)
    if value["version"] != _VERSION:
        raise ValueError(f"fee lines of version {value['version']}; this release knows {_VERSION}")
    return FeeLines(
        held=_lines(value["held"]),
        pending={
            key: _lines(change) if isinstance(change, dict) else tuple(change)
            for key, change in value["pending"].items()
        },
        is_disputed=value["disputed"],
    )


def _lines(value: Mapping[str, Any]) -> dict[str, Line]:
    return {line_id: (amount_fen, day) for line_id, (amount_fen, day) in value.items()}


def _save(ruling: Ruling, encounter_id: bytes, lines: FeeLines) -> None:
    """Nothing is kept where there is nothing to know."""
    value = {"version": _VERSION, "held": lines.held, "pending": lines.pending, "disputed": lines.is_disputed}
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    ruling.save(fee_lines_key(encounter_id), data if lines.held or lines.pending else None)
