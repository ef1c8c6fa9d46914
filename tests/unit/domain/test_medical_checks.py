"""What a medical payload must hold before it is admitted: each rule refuses, with the field, and never with a value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2, message_pb2, values_pb2
from onecard.medical.v1 import coverage_pb2, filing_pb2, settlement_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_broker.domain.checks import check
from onecard_broker.domain.fee_lines import amount_of
from onecard_broker.domain.settlement_amounts import FEE_PARTS, FUNDS
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from tests.support.domain import METHODS, parse
from tests.support.stays import (
    CANCEL,
    DISCHARGE,
    EXECUTED,
    PRE_SETTLE,
    QUERY,
    REGISTER,
    REVERSE,
    SETTLE,
    UPLOAD,
    SyntheticStay,
    coded,
    day,
    make_line,
    make_split,
)

STAY = SyntheticStay()
COVERAGE = "/onecard.medical.v1.CoverageService/QueryCoverage"
SETTLEMENT = STAY.settle()
CANCELLATION = STAY.cancel(SETTLEMENT)
IDENTITY_INVALID = errors_pb2.ERROR_REASON_IDENTITY_INVALID
PAYLOAD_INVALID = errors_pb2.ERROR_REASON_PAYLOAD_INVALID
AMOUNTS_INCONSISTENT = errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT


def make_filing() -> filing_pb2.FileRequest:
    return filing_pb2.FileRequest(
        person=STAY.person,
        insured_number=STAY.insured_number,
        filing=filing_pb2.Filing(
            filing_type=coded("nhsa.rloc_rea", "1"),
            insurance_area="510100",
            destination_area="440000",
            first_day=day(1),
            last_day=day(30, 6),
        ),
    )


def make_coverage(**enrolment: Any) -> coverage_pb2.QueryCoverageResponse:
    return coverage_pb2.QueryCoverageResponse(
        person=STAY.person,
        insured_number=STAY.insured_number,
        enrolments=[
            coverage_pb2.Enrolment(**({"insurance_kind": coded("nhsa.insutype", "310")} | enrolment)),
        ],
    )


def refused(method: str, payload: ProtoMessage) -> tuple[int, list[str]]:
    """The reason and the fields of a refusal; (0, []) if there is none."""
    try:
        check(METHODS[method], payload)
    except OneCardError as error:
        return error.reason, [field for field, _ in error.violations]
    return 0, []


GOOD: dict[str, tuple[str, ProtoMessage]] = {
    "register": (REGISTER, parse(STAY.register())),
    "registered": (REGISTER, STAY.registered()),
    "upload": (UPLOAD, STAY.upload(make_line())),
    "discharge": (DISCHARGE, parse(STAY.discharge())),
    "pre-settle": (PRE_SETTLE, parse(STAY.pre_settle())),
    "pre-settled": (PRE_SETTLE, settlement_pb2.PreSettleResponse(split=make_split())),
    "settle": (SETTLE, parse(SETTLEMENT)),
    "interim": (SETTLE, parse(STAY.settle(period=(2, 5)))),
    "settled": (SETTLE, STAY.settled(SETTLEMENT)),
    "cancel": (CANCEL, parse(CANCELLATION)),
    "cancelled": (CANCEL, STAY.cancelled(SETTLEMENT, CANCELLATION)),
    "reverse": (REVERSE, parse(STAY.reverse(SETTLEMENT))),
    "reversed": (REVERSE, STAY.reversed(SETTLEMENT)),
    "query": (QUERY, parse(STAY.query(SETTLEMENT))),
    "found": (QUERY, STAY.found(SETTLEMENT, EXECUTED)),
    "cancellation found": (QUERY, STAY.found(CANCELLATION, EXECUTED, settlement=SETTLEMENT)),
    "file": ("/onecard.medical.v1.FilingService/File", make_filing()),
    "covered": (COVERAGE, make_coverage(insurance_area="510100")),
    "covered, of a kind not told": (COVERAGE, make_coverage(insurance_area="510100", insurance_kind=None)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_payload_that_holds_everything_is_admitted(name: str) -> None:
    assert refused(*GOOD[name]) == (0, [])


def test_a_rejection_and_a_report_have_nothing_to_check() -> None:
    assert refused(SETTLE, message_pb2.Rejection()) == (0, [])
    assert refused(SETTLE, message_pb2.DeliveryReport()) == (0, [])


def changed(name: str, change: Callable[[Any], object]) -> tuple[int, list[str]]:
    method, good = GOOD[name]
    payload = type(good)()
    payload.CopyFrom(good)
    change(payload)
    return refused(method, payload)


# ---- persons, codes, areas, ids ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["register", "upload", "discharge", "pre-settle", "settle", "cancel", "reverse"])
def test_an_absent_person_is_an_unknown_one(name: str) -> None:
    assert changed(name, lambda payload: payload.ClearField("person")) == (IDENTITY_INVALID, ["person"])


def test_a_wrong_check_digit_is_refused_without_the_number() -> None:
    wrong = STAY.identity_number[:-1] + ("0" if STAY.identity_number[-1] != "0" else "1")
    method, good = GOOD["settle"]
    payload = settlement_pb2.SettleRequest.FromString(good.SerializeToString())
    payload.person.number = wrong
    with pytest.raises(OneCardError) as caught:
        check(METHODS[method], payload)
    assert caught.value.reason == IDENTITY_INVALID
    assert caught.value.violations[0][0] == "person.number"
    assert wrong not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change", "field"),
    [
        ("register", lambda p: p.care_kind.ClearField("version"), "care_kind.version"),
        ("register", lambda p: p.care_kind.ClearField("system"), "care_kind.system"),
        ("register", lambda p: setattr(p.care_kind, "system", "s" * 65), "care_kind.system"),
        ("register", lambda p: setattr(p.care_kind, "version", "1" * 65), "care_kind.version"),
        ("register", lambda p: setattr(p.care_kind, "code", "1" * 65), "care_kind.code"),
        ("register", lambda p: setattr(p.care_kind, "code", "1\0"), "care_kind.code"),
        ("register", lambda p: p.ClearField("insurance_kind"), "insurance_kind"),
        ("register", lambda p: p.ClearField("visit_id"), "visit_id"),
        ("register", lambda p: setattr(p, "visit_id", "S" * 65), "visit_id"),
        ("register", lambda p: setattr(p, "visit_id", "S\n1"), "visit_id"),
        ("register", lambda p: setattr(p.institution, "area", "4403"), "institution.area"),
        ("register", lambda p: setattr(p.institution, "area", "４４０３００"), "institution.area"),
        ("register", lambda p: setattr(p.institution, "code", "H44/1"), "institution.code"),
        ("register", lambda p: setattr(p.first_day, "day", 32), "first_day"),
        ("registered", lambda p: p.ClearField("encounter"), "encounter"),
        ("discharge", lambda p: p.ClearField("last_day"), "last_day"),
        ("discharge", lambda p: p.ClearField("encounter"), "encounter"),
        ("settle", lambda p: p.ClearField("terms"), "terms"),
        ("settle", lambda p: p.terms.ClearField("fees"), "terms.fees"),
        ("settle", lambda p: p.terms.ClearField("care_kind"), "terms.care_kind"),
        ("settle", lambda p: setattr(p.terms.last_day, "day", 1), "terms.last_day"),
        ("settle", lambda p: setattr(p.terms.filing_last_day, "year", 2025), "terms.filing_last_day"),
        ("settle", lambda p: setattr(p.terms, "line_count", -1), "terms.line_count"),
        ("settle", lambda p: setattr(p, "pre_settlement_id", "1"), "pre_settlement_id"),
        ("settle", lambda p: setattr(p.terms.encounter, "encounter_id", "0" * 32), "terms.encounter.encounter_id"),
        ("settle", lambda p: setattr(p.terms.encounter, "encounter_id", "F" * 32), "terms.encounter.encounter_id"),
        ("settle", lambda p: p.terms.encounter.ClearField("visit_id"), "terms.encounter.visit_id"),
        (
            "settle",
            lambda p: p.terms.encounter.ClearField("institution_code"),
            "terms.encounter.institution_code",
        ),
        (
            "settle",
            lambda p: p.terms.insured_number.ClearField("insurance_area"),
            "terms.insured_number.insurance_area",
        ),
        (
            "settle",
            lambda p: p.terms.insured_number.ClearField("personal_number"),
            "terms.insured_number.personal_number",
        ),
        ("interim", lambda p: setattr(p.terms.interim_period.last_day, "day", 1), "terms.interim_period.last_day"),
        ("interim", lambda p: p.terms.interim_period.ClearField("first_day"), "terms.interim_period.first_day"),
        ("settled", lambda p: p.ClearField("settlement_id"), "settlement_id"),
        ("settled", lambda p: p.ClearField("settled_time"), "settled_time"),
        ("pre-settled", lambda p: p.ClearField("split"), "split"),
        ("cancel", lambda p: setattr(p, "original_id", "no id"), "original_id"),
        ("cancel", lambda p: p.ClearField("settlement_id"), "settlement_id"),
        ("cancelled", lambda p: p.ClearField("red_settlement_id"), "red_settlement_id"),
        ("reverse", lambda p: p.ClearField("original_id"), "original_id"),
        ("reverse", lambda p: p.ClearField("original_method"), "original_method"),
        ("reversed", lambda p: p.ClearField("result"), "result"),
        ("reversed", lambda p: p.ClearField("original_id"), "original_id"),
        ("query", lambda p: p.ClearField("original_id"), "original_id"),
        ("found", lambda p: p.ClearField("finding"), "finding"),
        ("found", lambda p: p.ClearField("settlement"), "settlement"),
        ("file", lambda p: setattr(p.filing, "destination_area", "44"), "filing.destination_area"),
        ("file", lambda p: p.filing.ClearField("filing_type"), "filing.filing_type"),
        ("file", lambda p: setattr(p.filing.last_day, "year", 2025), "filing.last_day"),
        ("covered", lambda p: setattr(p.enrolments[0], "insurance_area", ""), "enrolments[0].insurance_area"),
    ],
)
def test_a_wrong_form_is_refused_with_its_field(name: str, change: Callable[[Any], object], field: str) -> None:
    reason, fields = changed(name, change)
    assert reason == PAYLOAD_INVALID
    assert field in fields


def test_a_query_by_the_provinces_id_needs_no_original() -> None:
    def by_settlement_id(payload: Any) -> None:
        payload.ClearField("original_id")
        payload.settlement_id = "A1"

    assert changed("query", by_settlement_id) == (0, [])


# ---- money ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pre-settled", "settled"])
@pytest.mark.parametrize(
    ("part", "broken"),
    [
        *((part, "split.total_fen") for part in FEE_PARTS),
        *((part, "split.fund_total_fen") for part in FUNDS),
        ("fund_total_fen", "split.fund_total_fen"),
        ("hospital_part_fen", "split.total_fen"),
        ("personal_part_fen", "split.personal_part_fen"),
        ("personal_account_fen", "split.personal_part_fen"),
        ("cash_fen", "split.personal_part_fen"),
        ("total_fen", "split.total_fen"),
    ],
)
def test_one_fen_too_much_in_a_part_breaks_its_identity(name: str, part: str, broken: str) -> None:
    reason, fields = changed(name, lambda p: setattr(p.split, part, getattr(p.split, part) + 1))
    assert reason == AMOUNTS_INCONSISTENT
    assert broken in fields


def test_items_of_funds_are_the_funds_and_account_and_hospital_share_are_none() -> None:
    assert changed("settled", lambda p: setattr(p.split.items[2], "is_fund", True)) == (
        AMOUNTS_INCONSISTENT,
        ["split.fund_total_fen"],
    )
    assert changed("settled", lambda p: p.split.ClearField("items")) == (0, [])


def test_relatives_accounts_are_part_of_the_account_or_beside_it() -> None:
    def beside(payload: Any) -> None:
        payload.split.family_account_fen = 1_000
        payload.split.cash_fen -= 1_000

    assert changed("settled", beside) == (0, [])
    assert changed("settled", lambda p: setattr(p.split, "family_account_fen", 1_000)) == (0, [])


def test_a_settlement_states_the_personal_part_and_has_no_negative_amount() -> None:
    assert changed("settled", lambda p: p.split.ClearField("personal_part_fen")) == (
        AMOUNTS_INCONSISTENT,
        ["split.personal_part_fen"],
    )
    reason, fields = changed("settled", lambda p: p.split.CopyFrom(make_split(-1)))
    assert (reason, fields[0]) == (AMOUNTS_INCONSISTENT, "split.total_fen")


def test_a_red_record_skips_absent_parts_and_has_no_positive_amount() -> None:
    assert changed("cancelled", lambda p: p.split.CopyFrom(make_split(-1))) == (0, [])
    reason, fields = changed("cancelled", lambda p: p.split.CopyFrom(make_split()))
    assert (reason, fields[0]) == (AMOUNTS_INCONSISTENT, "split.total_fen")
    assert changed("cancelled", lambda p: setattr(p.split, "in_scope_fen", 0))[0] == AMOUNTS_INCONSISTENT


def test_a_query_answer_is_checked_like_the_answer_that_it_carries() -> None:
    assert changed("found", lambda p: setattr(p.settlement.split, "total_fen", 1))[0] == AMOUNTS_INCONSISTENT


@pytest.mark.parametrize("part", FEE_PARTS)
def test_the_fees_to_be_settled_are_their_four_parts(part: str) -> None:
    reason, fields = changed("settle", lambda p: setattr(p.terms.fees, part, getattr(p.terms.fees, part) + 1))
    assert (reason, fields) == (AMOUNTS_INCONSISTENT, ["terms.fees.total_fen"])


# ---- fee lines -----------------------------------------------------------------------------------------------------


def test_1_to_100_lines_with_ids_of_their_own() -> None:
    lines = [make_line(f"L{index}") for index in range(limits.FEE_LINE_COUNT_MAX + 1)]
    assert refused(UPLOAD, STAY.upload(*lines[:-1])) == (0, [])
    assert refused(UPLOAD, STAY.upload(*lines)) == (PAYLOAD_INVALID, ["lines"])
    assert refused(UPLOAD, STAY.upload()) == (PAYLOAD_INVALID, ["lines"])
    assert refused(UPLOAD, STAY.upload(make_line(), make_line())) == (PAYLOAD_INVALID, ["lines"])


def test_a_return_line_is_negative_and_names_the_line_that_it_takes_back() -> None:
    back = {
        "quantity_e4": -30_000,
        "amount_fen": -452,
        "preceding_self_pay_fen": -23,
        "in_scope_fen": -429,
        "returned_line_id": "L1",
    }
    assert refused(UPLOAD, STAY.upload(make_line("L2", **back))) == (0, [])
    unnamed = make_line("L2", **(back | {"returned_line_id": ""}))
    assert refused(UPLOAD, STAY.upload(unnamed)) == (PAYLOAD_INVALID, ["lines[0].returned_line_id"])
    positive = make_line("L2", returned_line_id="L1")
    assert refused(UPLOAD, STAY.upload(positive)) == (PAYLOAD_INVALID, ["lines[0].returned_line_id"])


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"amount_fen": 453, "in_scope_fen": 430}, AMOUNTS_INCONSISTENT, "lines[0].amount_fen"),
        ({"in_scope_fen": 428}, AMOUNTS_INCONSISTENT, "lines[0].amount_fen"),
        ({"in_scope_fen": 453, "preceding_self_pay_fen": -1}, AMOUNTS_INCONSISTENT, "lines[0].amount_fen"),
        ({"unit_price_e6": -1}, PAYLOAD_INVALID, "lines[0].unit_price_e6"),
        ({"self_pay_ratio_e4": 10_001}, PAYLOAD_INVALID, "lines[0].self_pay_ratio_e4"),
        ({"line_id": ""}, PAYLOAD_INVALID, "lines[0].line_id"),
    ],
)
def test_a_fee_line_whose_parts_do_not_fit_is_refused(changes: dict[str, Any], reason: int, field: str) -> None:
    assert refused(UPLOAD, STAY.upload(make_line(**changes))) == (reason, [field])


@pytest.mark.parametrize(
    ("quantity_e4", "unit_price_e6", "amount_fen"),
    [
        (10_000, 29_500, 3),  # 0.0295 × 1 = 0.03
        (10_000, 25_000, 3),  # 0.025: half up
        (10_000, 24_999, 2),
        (-10_000, 25_000, -3),  # a return mirrors what it returns
        (30_000, 1_505_000, 452),
        (0, 1_000_000, 0),
    ],
)
def test_a_line_amount_is_quantity_times_price_half_up(quantity_e4: int, unit_price_e6: int, amount_fen: int) -> None:
    assert amount_of(quantity_e4, unit_price_e6) == amount_fen


def test_the_gravest_reason_is_told_first() -> None:
    def everything_wrong(payload: Any) -> None:
        payload.person.number = "510000197001019911"
        payload.terms.ClearField("care_kind")
        payload.terms.fees.total_fen += 1

    assert changed("settle", everything_wrong) == (IDENTITY_INVALID, ["person.number"])


def test_an_identity_that_is_no_citizens_is_taken_by_its_kind() -> None:
    def passport(payload: Any) -> None:
        payload.person.CopyFrom(values_pb2.PersonIdentity(kind=coded("nhsa.psn_cert_type", "03"), number="E99000001"))

    assert changed("settle", passport) == (0, [])


def test_an_institutions_code_may_be_the_older_and_longer_one() -> None:
    institution = medical_values_pb2.Institution(code="99900000044080011A1001", area="440800")
    assert changed("register", lambda p: p.institution.CopyFrom(institution)) == (0, [])
