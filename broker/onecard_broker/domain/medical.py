"""Medical settlement at the hub: which rule decides which method, and the rules of registering a visit or stay.

Owns the encounter's beginning (design.md, section 6: an encounter is unique by person, institution and visit id);
settlements, cancellations, reversals and queries are in ``settlements`` and ``findings``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Final

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import encounter_pb2, settlement_pb2
from onecard_broker.domain import findings, settlements, stay_lines
from onecard_broker.domain.business import Accepted, Refused, Verdict
from onecard_broker.domain.medical_state import (
    STATE_VERSION,
    Encounter,
    decode_encounter,
    encode_encounter,
    encounter_key,
    visit_key,
)
from onecard_broker.domain.model import AggregateKey, Inbound, KnownMessage, MessageKey, Needs, Timer
from onecard_broker.domain.plain import discard_once, doubt_once, take_first_answer
from onecard_broker.domain.ruling import Ruling
from onecard_broker.domain.stay import CANCEL, QUERY, REVERSE, SETTLE, Stay
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import id_from_text

REGISTER: Final = "/onecard.medical.v1.EncounterService/Register"
UPLOAD: Final = "/onecard.medical.v1.EncounterService/UploadFeeLines"
WITHDRAW: Final = "/onecard.medical.v1.EncounterService/WithdrawFeeLines"


class MedicalBusiness:
    """The rules of package onecard.medical.v1."""

    def names(self, inbound: Inbound) -> Needs:
        """The encounter that a request names, a registration's visit, and the original of an undo or query."""
        payload, sender = inbound.payload, "" if inbound.message is None else inbound.message.header.sender
        match payload:
            case encounter_pb2.RegisterRequest() if inbound.message is not None:
                return Needs(aggregates=frozenset(_keys_of_registration(inbound, payload)))
            case settlement_pb2.SettleRequest() | settlement_pb2.PreSettleRequest():
                return Needs(aggregates=_named_encounter(payload.terms.encounter.encounter_id, with_lines=True))
            case (
                settlement_pb2.CancelSettlementRequest()
                | settlement_pb2.ReverseRequest()
                | settlement_pb2.QuerySettlementRequest()
            ):
                original = id_from_text(payload.original_id)
                return Needs(
                    known=frozenset(() if original is None else {(sender, original)}),
                    aggregates=_named_encounter(payload.encounter.encounter_id),
                )
            case encounter_pb2.DischargeRequest():
                return Needs(aggregates=_named_encounter(payload.encounter.encounter_id))
            case encounter_pb2.UploadFeeLinesRequest() | encounter_pb2.WithdrawFeeLinesRequest():
                return Needs(aggregates=_named_encounter(payload.encounter.encounter_id, with_lines=True))
            case _:
                return Needs()

    def judge(self, ruling: Ruling) -> Verdict:
        """Decide about a request by what stands in its encounter."""
        payload = ruling.inbound.payload
        match payload:
            case encounter_pb2.RegisterRequest():
                return _judge_registration(ruling, payload)
            case settlement_pb2.PreSettleRequest():
                stay = Stay.named(ruling, payload.terms.encounter)
                mismatch = None if stay is None else stay_lines.check_sum(ruling, stay.encounter, payload.terms)
                return _judge_by_encounter(stay) if mismatch is None else Refused(error=mismatch)
            case encounter_pb2.DischargeRequest():
                return _judge_by_encounter(Stay.named(ruling, payload.encounter))
            case encounter_pb2.UploadFeeLinesRequest() | encounter_pb2.WithdrawFeeLinesRequest():
                stay = Stay.named(ruling, payload.encounter)
                if stay is None:
                    return _judge_by_encounter(stay)
                return stay_lines.note_change(ruling, stay.encounter, payload)
            case settlement_pb2.SettleRequest():
                return settlements.judge_settlement(ruling, payload)
            case settlement_pb2.CancelSettlementRequest():
                return settlements.judge_cancellation(ruling, payload)
            case settlement_pb2.ReverseRequest():
                return settlements.judge_reversal(ruling, payload)
            case settlement_pb2.QuerySettlementRequest():
                return settlements.judge_query(ruling, payload)
            case _:
                return Accepted()

    def stands_under(self, ruling: Ruling) -> str:
        """A stay is of the number that it was registered under."""
        del ruling
        return ""

    def take_event(self, ruling: Ruling) -> MessageKey | None:
        """There is none: no method of the package is an event to the hub."""
        del ruling
        return None

    def take_answer(self, ruling: Ruling, request: KnownMessage) -> MessageKey | None:
        """Take the insured province's answer by the method that it answers."""
        if not request.aggregates:
            return take_first_answer(ruling, request)
        return _ANSWER_RULES[request.method](ruling, request)

    def doubt(self, ruling: Ruling, request: KnownMessage) -> None:
        """What has a query is asked about; anything else is unknown until its late answer."""
        if _is_asked_about(request):
            findings.doubt(ruling, request)
        else:
            doubt_once(ruling, request)

    def goes_ahead(self, inbound: Inbound, stuck: MessageKey) -> bool:
        """A reversal or query of the very message."""
        payload, message = inbound.payload, inbound.message
        if isinstance(payload, settlement_pb2.ReverseRequest | settlement_pb2.QuerySettlementRequest) and message:
            return (message.header.sender, id_from_text(payload.original_id)) == stuck
        return False

    def discard(self, ruling: Ruling, request: KnownMessage) -> None:
        """What has a query keeps its conversation (rule 12); a registration frees its visit, lines do not count."""
        if _is_asked_about(request):
            return
        discard_once(ruling, request)
        if request.method == REGISTER:
            _end_registration(ruling, request)
        elif request.method in {UPLOAD, WITHDRAW} and request.aggregates:
            stay_lines.end_change(ruling, request, is_done=False)

    def ask_again(self, ruling: Ruling, request: KnownMessage, timer: Timer) -> None:
        """The next query about a transaction, or the end of them."""
        if request.aggregates:
            findings.ask_again(ruling, request, timer)

    def wake(self, ruling: Ruling, timer: Timer) -> None:
        """No such timer is set: what is due concerns a transaction, by its request."""
        del ruling, timer


def _is_asked_about(request: KnownMessage) -> bool:
    return request.method in {SETTLE, CANCEL, REVERSE} and bool(request.aggregates)


def _named_encounter(encounter_id: str, *, with_lines: bool = False) -> frozenset[AggregateKey]:
    named = id_from_text(encounter_id)
    if named is None:
        return frozenset()
    return frozenset({encounter_key(named)} | ({stay_lines.fee_lines_key(named)} if with_lines else set()))


def _judge_by_encounter(stay: Stay | None) -> Verdict:
    if stay is None:
        return Refused(error=OneCardError(errors_pb2.ERROR_REASON_ENCOUNTER_UNKNOWN))
    return Accepted()


# ---- registration --------------------------------------------------------------------------------------------------


def _keys_of_registration(
    inbound: Inbound, payload: encounter_pb2.RegisterRequest
) -> tuple[AggregateKey, AggregateKey]:
    encounter_id = b"" if inbound.message is None else inbound.message.header.id
    return encounter_key(encounter_id), visit_key(inbound.subject, payload.institution.code, payload.visit_id)


def _judge_registration(ruling: Ruling, payload: encounter_pb2.RegisterRequest) -> Verdict:
    """One encounter for each person, institution and visit id; a registration that failed frees them."""
    header = ruling.message.header
    keys = _keys_of_registration(ruling.inbound, payload)
    if any(key in ruling.state.aggregates for key in keys):
        return Refused(error=OneCardError(errors_pb2.ERROR_REASON_ENCOUNTER_DUPLICATE))
    encounter = Encounter(
        id=header.id,
        subject=ruling.inbound.subject,
        care=header.sender,
        insured=header.recipient,
        institution_code=payload.institution.code,
        visit_id=payload.visit_id,
    )
    ruling.save(keys[0], encode_encounter(encounter))
    visit = {"version": STATE_VERSION, "encounter": header.id.hex()}
    ruling.save(keys[1], json.dumps(visit, separators=(",", ":")).encode())
    return Accepted(aggregates=keys)


def _take_answer_of_registration(ruling: Ruling, request: KnownMessage) -> MessageKey | None:
    """The first answer counts; a refusal ends the encounter and frees the visit for another registration."""
    refusal = take_first_answer(ruling, request)
    if refusal is None and ruling.message.header.kind == message_pb2.MESSAGE_KIND_REJECTION:
        _end_registration(ruling, request)
    return refusal


def _end_registration(ruling: Ruling, request: KnownMessage) -> None:
    key = encounter_key(request.id)
    encounter = decode_encounter(ruling.state.aggregates[key])
    ruling.save(key, encode_encounter(dataclasses.replace(encounter, is_failed=True)))
    ruling.save(visit_key(encounter.subject, encounter.institution_code, encounter.visit_id), None)


_ANSWER_RULES: Final[Mapping[str, Callable[[Ruling, KnownMessage], MessageKey | None]]] = {
    REGISTER: _take_answer_of_registration,
    UPLOAD: stay_lines.take_answer_of_change,
    WITHDRAW: stay_lines.take_answer_of_change,
    SETTLE: findings.take_answer_of_original,
    CANCEL: findings.take_answer_of_original,
    REVERSE: findings.take_answer_of_reversal,
    QUERY: findings.take_answer_of_query,
}
"""What takes the answer of each method whose requests concern a state."""
