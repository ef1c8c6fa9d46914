"""The drill `medical`: a Sichuan patient's two stays in a Guangdong hospital, one settled, one settled and cancelled.

Sichuan's core files for the patient and tells Guangdong; the hospital does everything else in its own interface.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from onecard_protocol.china_time import SHANGHAI
from onecard_protocol.explained import Text
from onecard_protocol.redaction import mask_number
from onecard_stubs.dev.running import RunningCountry
from onecard_stubs.guangdong import wire
from onecard_stubs.guangdong.counter import Answer, FeeItem, Stay
from onecard_stubs.guangdong.hospital import Hospital
from onecard_stubs.population import Person, Population
from onecard_stubs.scenarios.accounts import mark, method_of, take_accounts
from onecard_stubs.scenarios.control import NotDone, command
from onecard_stubs.scenarios.result import (
    BillRow,
    Check,
    Report,
    Scenario,
    ScenarioResult,
    SplitRow,
)

PLACE_OF_CARE: Final = "cn-44"
INSURED: Final = "cn-51"
INSURANCE_KIND: Final = "310"
LINES_PER_CALL: Final = 100
LINE_COUNT: Final = 130

_DESTINATION_AREA: Final = "440300"
_REFERRAL: Final = "04"

# (code, name, quantity, price) as the hospital knows them; its province's catalogue splits them.
_ITEMS: Final = (
    ("001109000010000-110900001", "普通病房床位费", "1", "65"),
    ("001201000030000-120100003", "II级护理", "1", "26.5"),
    ("002501010010000-250101001", "血细胞分析", "1", "20"),
    ("XA00AAA000A001010000000", "奥美拉唑肠溶胶囊", "14", "1.235"),
    ("XB01AAA000A001010000000", "低分子肝素注射液", "2", "38.4"),
    ("XC09AAA000A001010000000", "贝那普利片", "7", "2.1875"),
    ("C14010000000000000000001", "一次性输液器", "2", "18.8"),
    ("002203020050000-220302005", "彩色多普勒超声常规检查", "1", "168"),
    ("002103000010000-210300001", "CT平扫", "1", "245"),
    ("XV99AAA000A001010000000", "营养补充剂", "1", "88"),
)

_SPLIT_FIELDS: Final = (
    ("inscp_scp_amt", Text(en="within the policy's scope", zh="符合政策范围"), False),
    ("act_pay_dedc", Text(en="deductible", zh="起付线"), False),
    ("hifp_pay", Text(en="basic pooling fund", zh="基本医保统筹基金"), False),
    ("cvlserv_pay", Text(en="civil servants' supplement", zh="公务员补助"), False),
    ("hifob_pay", Text(en="large amount supplement", zh="大额补助"), False),
    ("fund_pay_sumamt", Text(en="all funds", zh="基金支付合计"), True),
    ("acct_pay", Text(en="personal account", zh="个人账户"), False),
    ("psn_cash_pay", Text(en="cash", zh="个人现金"), False),
    ("psn_part_amt", Text(en="the patient", zh="个人负担合计"), True),
    ("medfee_sumamt", Text(en="total", zh="医疗费总额"), True),
)


@dataclass(slots=True, kw_only=True)
class _StayRecord:
    """What the hospital saw of one stay."""

    stay: Stay
    lines: list[Mapping[str, Any]] = field(default_factory=list)
    trial: Mapping[str, Any] = field(default_factory=dict)
    settled: Mapping[str, Any] = field(default_factory=dict)


async def run(country: RunningCountry, report: Report) -> ScenarioResult:
    """Play it, then compare what everybody holds. Raises NotDone where a step is refused."""
    started = time.monotonic()
    since = await mark(country)
    before = await command(country, INSURED, "describe")
    # Another one each time: a person with two filings for one place has to say which is meant.
    person = choose_patient(Population(), before["filings"])
    area = person.active_enrolments[0].insurance_area
    today = datetime.now(SHANGHAI).date()
    report("Sichuan's core files for its insured person and tells Guangdong")
    await file_outwards(country, person, today)
    hospital = Hospital(country.adapter_urls[PLACE_OF_CARE])
    try:
        report("the hospital in Guangdong signs in and identifies the patient")
        require("9001", await hospital.sign_in())
        identified = require("1101", await hospital.identify(person, insurance_area=area))
        report("first stay: admission, fee lines, pre-settlement, discharge, settlement")
        first = await _stay(
            hospital, person, area, number=f"ZY{since.since_ms}1", day=today - timedelta(days=12), count=LINE_COUNT
        )
        report("second stay: the same, then its settlement is cancelled")
        second = await _stay(
            hospital, person, area, number=f"ZY{since.since_ms}2", day=today - timedelta(days=4), count=12
        )
        cancelled = require("2305", await hospital.cancel(second.stay, str(second.settled["setl_id"])))
    finally:
        await hospital.close()
    played_ms = round((time.monotonic() - started) * 1000)
    report("comparing outboxes, journal and inboxes")
    accounts = await take_accounts(country, since)
    after = await command(country, INSURED, "describe")
    red = cancelled.output["setlinfo"]
    methods = Counter(map(method_of, accounts.stories))
    steps = _steps(first, second)
    checks = (
        Check(
            what=Text(en="pre-settlement and settlement split the bill alike", zh="预结算与结算的分担一致"),
            holds=all(_same_split(record.trial, record.settled) for record in (first, second)),
        ),
        Check(
            what=Text(
                en="the split adds up: funds, account and cash are the total",
                zh="分担勾稽：基金、账户、现金之和等于总额",
            ),
            holds=all(_adds_up(record.settled) for record in (first, second)),
        ),
        Check(
            what=Text(en="the cancellation is the settlement's negation", zh="撤销为原结算的负数记录"),
            holds=wire.fen(red["fund_pay_sumamt"]) == -wire.fen(second.settled["fund_pay_sumamt"]),
        ),
        Check(
            what=Text(en="the answer to 1101 names the patient's enrolment", zh="1101 返回参保信息"),
            holds=any(row.get("insutype") == INSURANCE_KIND for row in identified.output["insuinfo"]),
        ),
        Check(
            what=Text(en="Sichuan's core settled twice and undid one", zh="四川核心系统结算两笔、撤销一笔"),
            holds=(
                after["settlements_standing"] - before["settlements_standing"] == 1
                and after["settlements_undone"] - before["settlements_undone"] == 1
            ),
            found=f"standing {after['settlements_standing']}, undone {after['settlements_undone']}",
        ),
        Check(
            what=Text(
                en="as many messages as steps, each request with its answer", zh="报文数与步骤数相符，每个请求均有应答"
            ),
            # Coverage is asked anew at each admission, too.
            holds=methods - Counter({"QueryCoverage": methods["QueryCoverage"]}) == steps
            and all(map(_is_complete, accounts.stories)),
            found=f"{len(accounts.stories)}",
        ),
        Check(
            what=Text(
                en="every SM2 signature verifies with the directory's keys", zh="所有 SM2 签名均通过目录密钥验证"
            ),
            holds=all(map(_is_signed, accounts.stories)),
        ),
    )
    return ScenarioResult(
        scenario="medical",
        duration_ms=played_ms,
        accounts=accounts,
        checks=checks,
        bill=sum_by_class(first.lines),
        split=[
            SplitRow(
                name=name, trial_fen=wire.fen(first.trial[key]), settled_fen=wire.fen(first.settled[key]), is_sum=is_sum
            )
            for key, name, is_sum in _SPLIT_FIELDS
        ],
        patient=f"{person.name[0]}**  {mask_number(person.identity_number)}",
    )


def choose_patient(population: Population, turn: int = 0) -> Person:
    """One of the people whose main enrolment is an employee's, with something on the personal account."""
    fitting = [
        person
        for person in population
        if person.active_enrolments
        and person.active_enrolments[0].insurance_kind == INSURANCE_KIND
        and person.active_enrolments[0].account_balance_fen > 0
    ]
    return fitting[turn % len(fitting)]


def sum_by_class(lines: Sequence[Mapping[str, Any]]) -> list[BillRow]:
    """Fee lines, as the answers to 2301 split them, summed by class and level."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        groups.setdefault((str(line["med_chrgitm_type"]), str(line["chrgitm_lv"])), []).append(line)

    def total(rows: Sequence[Mapping[str, Any]], name: str) -> int:
        return sum(wire.fen(row[name]) for row in rows)

    return [
        BillRow(
            fee_class=fee_class,
            level=level,
            line_count=len(rows),
            total_fen=total(rows, "det_item_fee_sumamt"),
            full_self_pay_fen=total(rows, "fulamt_ownpay_amt"),
            over_limit_fen=total(rows, "overlmt_amt"),
            preceding_fen=total(rows, "preselfpay_amt"),
            in_scope_fen=total(rows, "inscp_scp_amt"),
        )
        for (fee_class, level), rows in sorted(groups.items())
    ]


# ---- steps -----------------------------------------------------------------------------------------------------------


async def file_outwards(country: RunningCountry, person: Person, today: date) -> None:
    """Sichuan's core files for the person and tells Guangdong. Raises NotDone where it does not."""
    answer = await command(
        country,
        INSURED,
        "file_outwards",
        {
            "identity_number": person.identity_number,
            "destination_area": _DESTINATION_AREA,
            "filing_type": _REFERRAL,
            "insurance_kind": INSURANCE_KIND,
            "first_day": f"{today - timedelta(days=30):%Y%m%d}",
            "last_day": "",
        },
    )
    if not answer.get("told"):
        raise _refused("0223", str(answer.get("error_message") or answer.get("error") or ""))


async def _stay(hospital: Hospital, person: Person, area: str, *, number: str, day: date, count: int) -> _StayRecord:
    """Admission to settlement of one stay of three days."""
    admitted, stay = await hospital.admit(
        person, insurance_area=area, insurance_kind=INSURANCE_KIND, number=number, day=day
    )
    require("2401", admitted)
    record = _StayRecord(stay=stay)
    items = fee_items(count)
    for start in range(0, count, LINES_PER_CALL):
        part = items[start : start + LINES_PER_CALL]
        answer = require("2301", await hospital.upload_fees(stay, part, day=day + timedelta(days=1)))
        record.lines += answer.output["result"]
    record.trial = require("2303", await hospital.pre_settle(stay)).output["setlinfo"]
    require("2402", await hospital.discharge(stay, day=day + timedelta(days=3)))
    record.settled = require("2304", await hospital.settle(stay)).output["setlinfo"]
    return record


def fee_items(count: int) -> list[FeeItem]:
    """So many fee lines, of the hospital's items in turn."""
    rows = (_ITEMS[index % len(_ITEMS)] for index in range(count))
    return [FeeItem(code=row[0], name=row[1], quantity=Decimal(row[2]), price=Decimal(row[3])) for row in rows]


def require(infno: str, answer: Answer) -> Answer:
    """The answer of a trade that succeeded; raises NotDone for one that did not."""
    if not answer.is_success:
        raise _refused(infno, answer.text)
    return answer


def _refused(trade: str, text: str) -> NotDone:
    what = Text(en=f"Trade {trade} was not done, and the scenario cannot go on.", zh=f"交易 {trade} 未完成，演练中止")
    return NotDone(what, text)


# ---- looking ---------------------------------------------------------------------------------------------------------


def _steps(*records: _StayRecord) -> Counter[str]:
    """The requests and events that must be there beside the questions of coverage, by method."""
    each = len(records)
    uploads = sum(-(-len(record.lines) // LINES_PER_CALL) for record in records)
    return Counter(
        ReportFiling=1,
        Register=each,
        UploadFeeLines=uploads,
        PreSettle=each,
        Discharge=each,
        Settle=each,
        CancelSettlement=1,
    )


def _is_complete(story: Mapping[str, Any]) -> bool:
    answers = [answer for answer in story["answers"] if answer["kind"] == "reply"]
    return len(story["deliveries"]) == 1 and len(answers) == (1 if story["kind"] == "request" else 0)


def _is_signed(story: Mapping[str, Any]) -> bool:
    return bool(story["signature"]["is_good"]) and all(_is_signed(answer) for answer in story["answers"])


def _same_split(trial: Mapping[str, Any], settled: Mapping[str, Any]) -> bool:
    return all(wire.fen(trial[key]) == wire.fen(settled[key]) for key, _, _ in _SPLIT_FIELDS)


def _adds_up(info: Mapping[str, Any]) -> bool:
    amount = {key: wire.fen(info.get(key)) for key, _, _ in _SPLIT_FIELDS} | {
        "hospital": wire.fen(info.get("hosp_part_amt"))
    }
    return (
        amount["medfee_sumamt"] == amount["fund_pay_sumamt"] + amount["psn_part_amt"] + amount["hospital"]
        and amount["psn_part_amt"] == amount["acct_pay"] + amount["psn_cash_pay"]
    )


MEDICAL: Final = Scenario(
    name="medical",
    what=Text(
        en="A Guangdong hospital settles a Sichuan patient's bill; a second stay is settled and cancelled.",
        zh="广东一家医院为四川参保患者办理住院费用直接结算；第二次住院结算后撤销。",
    ),
    provinces=(PLACE_OF_CARE, INSURED),
    run=run,
)
