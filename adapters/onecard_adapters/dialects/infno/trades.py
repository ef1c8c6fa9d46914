"""The trades that the dialect serves: number, what it is, the national method, and where its form is known from.

docs/dialects/infno.md shows this table; a test holds the two together.
"""

from dataclasses import dataclass
from typing import Final

_MEDICAL: Final = "/onecard.medical.v1."
QUERY_COVERAGE: Final = _MEDICAL + "CoverageService/QueryCoverage"
FILE: Final = _MEDICAL + "FilingService/File"
REPORT_FILING: Final = _MEDICAL + "FilingService/ReportFiling"
WITHDRAW_FILING: Final = _MEDICAL + "FilingService/WithdrawFiling"
REGISTER: Final = _MEDICAL + "EncounterService/Register"
DISCHARGE: Final = _MEDICAL + "EncounterService/Discharge"
UPLOAD_FEE_LINES: Final = _MEDICAL + "EncounterService/UploadFeeLines"
WITHDRAW_FEE_LINES: Final = _MEDICAL + "EncounterService/WithdrawFeeLines"
PRE_SETTLE: Final = _MEDICAL + "SettlementService/PreSettle"
SETTLE: Final = _MEDICAL + "SettlementService/Settle"
CANCEL_SETTLEMENT: Final = _MEDICAL + "SettlementService/CancelSettlement"
REVERSE: Final = _MEDICAL + "SettlementService/Reverse"
QUERY_SETTLEMENT: Final = _MEDICAL + "SettlementService/QuerySettlement"

SIGN_IN: Final = "9001"
SIGN_OUT: Final = "9002"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One trade."""

    infno: str
    name: str
    method: str
    """National method; empty where the trade stays in the province."""
    request_source: str
    """Sample file of the request, or "ours"."""
    answer_source: str
    core: str = ""
    """When the place of care's own core acts: "first" (it numbers visits and splits lines), "after", or not at all."""
    has_effect: bool = True


_ALL: Final = (
    Trade(infno=SIGN_IN, name="签到", method="", request_source="req-9001-gd.json", answer_source="resp-9001-hb.json"),
    Trade(infno=SIGN_OUT, name="签退", method="", request_source="req-9002-gd.json", answer_source="ours"),
    Trade(
        infno="1101",
        name="人员信息获取",
        method=QUERY_COVERAGE,
        request_source="req-1101-gd.json",
        answer_source="resp-1101-hb-many-enrolments.json",
        has_effect=False,
    ),
    Trade(infno="2501", name="转院备案", method=FILE, request_source="req-2501-cq.json", answer_source="ours"),
    Trade(infno="2502", name="转院备案撤销", method=WITHDRAW_FILING, request_source="ours", answer_source="ours"),
    Trade(
        infno="2201",
        name="门诊挂号",
        method=REGISTER,
        request_source="req-2201-gd.json",
        answer_source="resp-2201-hb.json",
        core="first",
    ),
    Trade(
        infno="2204",
        name="门诊费用明细上传",
        method=UPLOAD_FEE_LINES,
        request_source="req-2204-gd.json",
        answer_source="resp-2204-hb.json",
        core="first",
    ),
    Trade(
        infno="2205",
        name="门诊费用明细撤销",
        method=WITHDRAW_FEE_LINES,
        request_source="ours",
        answer_source="ours",
        core="after",
    ),
    Trade(
        infno="2206",
        name="门诊预结算",
        method=PRE_SETTLE,
        request_source="req-2206-gd.json",
        answer_source="resp-2206-hb.json",
        has_effect=False,
    ),
    Trade(
        infno="2207",
        name="门诊结算",
        method=SETTLE,
        request_source="req-2207-gd.json",
        answer_source="resp-2207-hb.json",
    ),
    Trade(
        infno="2208",
        name="门诊结算撤销",
        method=CANCEL_SETTLEMENT,
        request_source="req-2208-gd.json",
        answer_source="resp-2208-hb-red.json",
    ),
    Trade(
        infno="2401",
        name="入院办理",
        method=REGISTER,
        request_source="req-2401-cq.json",
        answer_source="ours",
        core="first",
    ),
    Trade(
        infno="2301",
        name="住院费用明细上传",
        method=UPLOAD_FEE_LINES,
        request_source="req-2301-cq-with-return-line.json",
        answer_source="resp-2301-cq.json",
        core="first",
    ),
    Trade(
        infno="2302",
        name="住院费用明细撤销",
        method=WITHDRAW_FEE_LINES,
        request_source="ours",
        answer_source="ours",
        core="after",
    ),
    Trade(
        infno="2303",
        name="住院预结算",
        method=PRE_SETTLE,
        request_source="ours",
        answer_source="resp-2303-cq.json",
        has_effect=False,
    ),
    Trade(
        infno="2402",
        name="出院办理",
        method=DISCHARGE,
        request_source="ours",
        answer_source="resp-2402-empty-output.json",
        core="after",
    ),
    Trade(
        infno="2304",
        name="住院结算",
        method=SETTLE,
        request_source="req-2304-cq.json",
        answer_source="resp-2304-cq.json",
    ),
    Trade(
        infno="2305",
        name="住院结算撤销",
        method=CANCEL_SETTLEMENT,
        request_source="req-2305-cq.json",
        answer_source="resp-2305-cq-red.json",
    ),
    Trade(infno="2601", name="冲正交易", method=REVERSE, request_source="req-2601-gd.json", answer_source="ours"),
    Trade(
        infno="5203",
        name="结算信息查询",
        method=QUERY_SETTLEMENT,
        request_source="req-5203-gd.json",
        answer_source="resp-5203-gd.json",
        has_effect=False,
    ),
)
TRADES: Final = {trade.infno: trade for trade in _ALL}
"""All trades by their number."""

REVERSIBLE_METHODS: Final = frozenset({SETTLE, CANCEL_SETTLEMENT})
"""What 2601 undoes nationally; an admission (2401) has no money to undo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceTrades:
    """The trade numbers of one place of treatment: outpatients and inpatients have their own for the same thing."""

    register: str
    undo_registration: str
    """At the core only, when the insured province refused a visit that the core had numbered already."""
    upload: str
    withdraw: str
    pre_settle: str
    settle: str
    cancel: str


OUTPATIENT: Final = PlaceTrades(
    register="2201",
    undo_registration="2202",
    upload="2204",
    withdraw="2205",
    pre_settle="2206",
    settle="2207",
    cancel="2208",
)
INPATIENT: Final = PlaceTrades(
    register="2401",
    undo_registration="2404",
    upload="2301",
    withdraw="2302",
    pre_settle="2303",
    settle="2304",
    cancel="2305",
)


def place_of(infno: str) -> PlaceTrades:
    """The place whose trade this is; only for numbers of one of the two."""
    return INPATIENT if infno in (*_numbers(INPATIENT), "2402") else OUTPATIENT


def _numbers(place: PlaceTrades) -> tuple[str, ...]:
    return (place.register, place.upload, place.withdraw, place.pre_settle, place.settle, place.cancel)
