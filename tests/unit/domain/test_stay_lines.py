"""A settlement's fees are the sum of the stay's fee lines, as far as the hub knows them (domain.md, 1.7)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard.medical.v1 import encounter_pb2, settlement_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import Message
from tests.support.domain import InMemoryWorker, make_answer
from tests.support.stays import PRE_SETTLE, SETTLE, UPLOAD, SyntheticStay, day, make_split, rejection

STAY = SyntheticStay()
WITHDRAW = "/onecard.medical.v1.EncounterService/WithdrawFeeLines"
TOTAL_FEN = make_split().total_fen


@pytest.fixture
def worker() -> InMemoryWorker:
    """A worker with a registered stay."""
    worker = InMemoryWorker()
    answered(worker, STAY.register(), STAY.registered())
    return worker


def answered(worker: InMemoryWorker, request: Message, answer: ProtoMessage) -> None:
    """A request with its answer."""
    worker.submit(request, subject=STAY.subject)
    worker.submit(make_answer(request, answer, created_ms=worker.now_ms, seed=request.header.id.hex()))


def upload(lines: Mapping[str, tuple[int, int]], seed: str = "upload") -> Message:
    """Lines as (fen, day of January); a day of 0 is left out."""
    payload = encounter_pb2.UploadFeeLinesRequest(
        person=STAY.person,
        insured_number=STAY.insured_number,
        encounter=STAY.encounter,
        lines=[
            encounter_pb2.FeeLine(line_id=line_id, amount_fen=amount_fen, day=day(number) if number else None)
            for line_id, (amount_fen, number) in lines.items()
        ],
    )
    return STAY.request(UPLOAD, payload, seed, 1_200)


def withdraw(*line_ids: str) -> Message:
    """Takes lines back."""
    payload = encounter_pb2.WithdrawFeeLinesRequest(
        person=STAY.person, insured_number=STAY.insured_number, encounter=STAY.encounter, line_ids=line_ids
    )
    return STAY.request(WITHDRAW, payload, f"withdraw {line_ids}", 1_300)


def stored(total_fen: int | None = None) -> encounter_pb2.UploadFeeLinesResponse:
    """An upload's answer, with the insured province's sum or without."""
    if total_fen is None:
        return encounter_pb2.UploadFeeLinesResponse()
    return encounter_pb2.UploadFeeLinesResponse(totals=medical_values_pb2.FeeTotals(total_fen=total_fen))


def refusal_of(worker: InMemoryWorker, settle: Message) -> int:
    """The reason that a settlement would be refused for; 0 if it goes on."""
    (delivery,) = worker.copy().submit(settle, subject=STAY.subject)
    return delivery.payload.reason if isinstance(delivery.payload, message_pb2.Rejection) else 0


def settlement(fees_fen: int, period: tuple[int, int] | None = None, *, method: str = SETTLE) -> Message:
    """A settlement or pre-settlement of a sum."""
    days = period and settlement_pb2.InterimPeriod(first_day=day(period[0]), last_day=day(period[1]))
    terms = STAY.terms(days or None)
    terms.fees.total_fen = fees_fen
    payload_class = settlement_pb2.SettleRequest if method == SETTLE else settlement_pb2.PreSettleRequest
    return STAY.request(method, payload_class(person=STAY.person, terms=terms), f"{fees_fen} {period}", 2_000)


MISMATCH = errors_pb2.ERROR_REASON_FEE_MISMATCH


def test_a_stay_without_lines_is_not_compared(worker: InMemoryWorker) -> None:
    assert refusal_of(worker, settlement(TOTAL_FEN)) == 0


@pytest.mark.parametrize("method", [SETTLE, PRE_SETTLE])
def test_the_fees_are_the_sum_of_lines_from_several_messages_with_returns(worker: InMemoryWorker, method: str) -> None:
    answered(worker, upload({"1": (900, 2), "2": (300, 3)}), stored(1_200))
    answered(worker, upload({"3": (-300, 4), "4": (50, 4)}, "second"), stored(950))
    assert refusal_of(worker, settlement(950, method=method)) == 0
    assert refusal_of(worker, settlement(1_250, method=method)) == MISMATCH


def test_the_refusal_names_the_field(worker: InMemoryWorker) -> None:
    answered(worker, upload({"1": (900, 2)}), stored())
    (delivery,) = worker.submit(settlement(901), subject=STAY.subject)
    assert isinstance(delivery.payload, message_pb2.Rejection)
    assert [violation.field for violation in delivery.payload.violations] == ["terms.fees.total_fen"]


def test_lines_that_were_taken_back_do_not_count(worker: InMemoryWorker) -> None:
    answered(worker, upload({"1": (900, 2), "2": (300, 3)}), stored())
    answered(worker, withdraw("2"), encounter_pb2.WithdrawFeeLinesResponse())
    assert refusal_of(worker, settlement(900)) == 0
    assert refusal_of(worker, settlement(1_200)) == MISMATCH


def test_after_all_lines_were_taken_back_there_are_none_to_compare(worker: InMemoryWorker) -> None:
    answered(worker, upload({"1": (900, 2)}), stored())
    answered(worker, withdraw(), encounter_pb2.WithdrawFeeLinesResponse())
    assert refusal_of(worker, settlement(TOTAL_FEN)) == 0


def test_lines_that_were_refused_do_not_count(worker: InMemoryWorker) -> None:
    answered(worker, upload({"1": (900, 2)}), stored())
    answered(worker, upload({"2": (300, 3)}, "second"), rejection())
    assert refusal_of(worker, settlement(900)) == 0
    assert refusal_of(worker, settlement(1_200)) == MISMATCH


def test_while_an_upload_has_no_outcome_nothing_is_compared(worker: InMemoryWorker) -> None:
    answered(worker, upload({"1": (900, 2)}), stored())
    second = upload({"2": (300, 3)}, "second")
    answered(worker, second, message_pb2.DeliveryReport())
    assert refusal_of(worker, settlement(1)) == 0
    worker.submit(make_answer(second, stored(), created_ms=worker.now_ms, seed="late"))
    assert refusal_of(worker, settlement(1)) == MISMATCH


def test_an_upload_that_an_operator_discarded_does_not_count(worker: InMemoryWorker) -> None:
    answered(worker, upload({"1": (900, 2)}), stored())
    second = upload({"2": (300, 3)}, "second")
    worker.submit(second, subject=STAY.subject)
    report = make_answer(second, message_pb2.DeliveryReport(), created_ms=worker.now_ms, seed="report", recipient=HUB)
    worker.submit(report)
    worker.dispose(second, control_pb2.DISPOSITION_DISCARD)
    assert refusal_of(worker, settlement(900)) == 0
    assert refusal_of(worker, settlement(1_200)) == MISMATCH


def test_where_the_insured_province_counts_otherwise_nothing_is_compared(worker: InMemoryWorker) -> None:
    answered(worker, upload({"1": (900, 2)}), stored(899))
    assert refusal_of(worker, settlement(1)) == 0


def test_an_interim_settlement_is_of_the_lines_of_its_days(worker: InMemoryWorker) -> None:
    answered(worker, upload({"1": (900, 2), "2": (300, 5), "3": (70, 6)}), stored())
    assert refusal_of(worker, settlement(1_200, (2, 5))) == 0
    assert refusal_of(worker, settlement(1_270, (2, 5))) == MISMATCH


def test_an_interim_settlement_of_lines_without_days_is_not_compared(worker: InMemoryWorker) -> None:
    answered(worker, upload({"1": (900, 2), "2": (300, 0)}), stored())
    assert refusal_of(worker, settlement(1, (2, 5))) == 0


def interim_stands(worker: InMemoryWorker) -> Message:
    """Lines of the 2nd to the 5th are settled, others are not."""
    answered(worker, upload({"1": (TOTAL_FEN - 100, 2), "2": (100, 5), "3": (70, 6)}), stored())
    interim = STAY.settle("interim", period=(2, 5))
    answered(worker, interim, STAY.settled(interim))
    return interim


def test_the_final_settlement_is_of_what_interim_ones_left_and_of_late_lines(worker: InMemoryWorker) -> None:
    interim_stands(worker)
    answered(worker, upload({"4": (-30, 4)}, "a return of a settled day"), stored())
    assert refusal_of(worker, settlement(40)) == 0
    assert refusal_of(worker, settlement(TOTAL_FEN + 40)) == MISMATCH


def test_after_an_interim_settlement_was_cancelled_the_final_one_is_of_all_lines(worker: InMemoryWorker) -> None:
    interim = interim_stands(worker)
    cancel = STAY.cancel(interim)
    worker.submit(cancel, subject=STAY.subject)
    assert refusal_of(worker, settlement(70)) == 0, "the cancellation is in doubt, so the sum is"
    worker.submit(make_answer(cancel, STAY.cancelled(interim, cancel), created_ms=worker.now_ms, seed="cancelled"))
    assert refusal_of(worker, settlement(TOTAL_FEN + 70)) == 0
    assert refusal_of(worker, settlement(70)) == MISMATCH


def test_taking_all_back_leaves_the_settled_lines(worker: InMemoryWorker) -> None:
    interim_stands(worker)
    answered(worker, withdraw(), encounter_pb2.WithdrawFeeLinesResponse())
    answered(worker, upload({"5": (10, 8)}, "anew"), stored(TOTAL_FEN + 10))
    assert refusal_of(worker, settlement(10)) == 0
    assert refusal_of(worker, settlement(80)) == MISMATCH
