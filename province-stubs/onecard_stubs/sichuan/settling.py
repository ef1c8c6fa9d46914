"""Trial, settlement, cancellation and reversal: the insured province's policy applied to what was uploaded."""

from datetime import date, datetime
from decimal import Decimal
from typing import Final

from onecard_protocol.china_time import SHANGHAI
from onecard_stubs.insured_account import InsuredAccount
from onecard_stubs.policy import (
    FilingKind,
    PolicyContext,
    PolicyPerson,
    Split,
    compute_split,
    person_class_of,
)
from onecard_stubs.population import Enrolment, Person
from onecard_stubs.sichuan.amounts import from_text, to_text
from onecard_stubs.sichuan.records import EMERGENCY_CARE, Settlement, Transaction, Visit
from onecard_stubs.sichuan.soap import Message
from onecard_stubs.sichuan.state import CoreState, Output, Refused, credential_of, day_from

_FILING_KINDS: Final = {
    "01": FilingKind.LONG_TERM,
    "02": FilingKind.LONG_TERM,
    "03": FilingKind.LONG_TERM,
    "04": FilingKind.REFERRAL,
    "05": FilingKind.EMERGENCY,
    "06": FilingKind.OTHER_TEMPORARY,
}
# On a red record these are null, as in the cancellations of real systems.
_NULL_ON_RED: Final = ("yzc006", "yzc002")


def trial(state: CoreState, message: Message, _: str) -> Output:
    """0303: the split that settling would give; nothing is kept."""
    visit, split, year = _computed(state, message)
    return _settlement_output(state, visit, split, year, message)


def settle(state: CoreState, message: Message, transid: str) -> Output:
    """0304."""
    visit, split, year = _computed(state, message)
    settlement = Settlement(
        settlement_id=state.new_number("A", visit.insurance_area),
        transid=transid,
        visit=visit,
        split=split,
        year=year,
        credential=credential_of(message),
    )
    _account(state, visit).post(split, visit.kind, year)
    state.settlements[settlement.settlement_id] = settlement
    visit.settlements.append(settlement)
    output = {
        "ykc618": settlement.settlement_id,
        "ykc621": _moment(),
        **_settlement_output(state, visit, split, year, message),
    }
    return state.keep(transid, message.trade, output, settlement)


def cancel(state: CoreState, message: Message, transid: str) -> Output:
    """0305: a red record, with the parts that red records leave empty."""
    visit = state.visit(message)
    settlement = state.settlements.get(message.value("ykc618"))
    if settlement is None or settlement.visit is not visit:
        raise Refused(-33, "无此结算记录")
    if not settlement.stands:
        raise Refused(-37, "该结算已撤销或已冲正")
    settlement.is_cancelled = True
    account = _account(state, visit)
    account.undo(settlement.split, visit.kind, settlement.year)
    original = state.transactions[settlement.transid].output
    red: Output = {
        **{name: _negated(name, value) for name, value in original.items()},
        "ykc618": state.new_number("A", visit.insurance_area),
        "yzc001": settlement.settlement_id,
        "ykc621": _moment(),
        "akc087": to_text(account.balance_fen),
        **dict.fromkeys(_NULL_ON_RED, ""),
    }
    return state.keep(transid, message.trade, red, settlement)


def reverse(state: CoreState, transaction: Transaction) -> None:
    """Undo a settlement or a cancellation; other trades are not reversed. Raises Refused."""
    settlement = transaction.settlement
    if settlement is None:
        raise Refused(-36, "该类交易不可冲正")
    visit, account = settlement.visit, _account(state, settlement.visit)
    if transaction.trade == "0304":
        if not settlement.stands:
            raise Refused(-37, "该结算已撤销，不能冲正")
        settlement.is_reversed = True
        account.undo(settlement.split, visit.kind, settlement.year)
        return
    if visit.is_settled:
        raise Refused(-32, "该次就诊已重新结算，不能冲正原撤销")
    if visit.fees != settlement.split.fees:
        raise Refused(-36, "费用明细已变动，不能冲正原撤销")
    if not account.bears(settlement.split, visit.kind, settlement.year):
        raise Refused(-36, "退回的个人账户金额、年度限额或首次住院起付线已被使用，不能冲正原撤销")
    settlement.is_cancelled = False
    account.post(settlement.split, visit.kind, settlement.year)


def last_day_of(visit: Visit, message: Message) -> date:
    """The discharge day that a request tells (akc194). Raises Refused if it is before the first day."""
    last_day = day_from(message.value("akc194"))
    if last_day < visit.first_day:
        raise Refused(-1, "出院日期早于入院日期")
    return last_day


def _computed(state: CoreState, message: Message) -> tuple[Visit, Split, int]:
    visit = state.visit(message)
    person = state.person(message)
    if visit.is_settled:
        raise Refused(-32, "该次就诊已结算，请勿重复结算")
    if message.value("ykc914"):
        raise Refused(-38, "本系统不办理中途结算")
    enrolment = _enrolment(person, visit)
    if not visit.lines or visit.fees.total_fen != from_text(message.value("akc264")):
        raise Refused(-31, "费用总额与已上传明细合计不一致！")
    last_day = last_day_of(visit, message) if message.value("akc194") else visit.last_day
    year = (last_day or visit.first_day).year
    account = _account(state, visit)
    split = compute_split(
        visit.fees,
        PolicyPerson(
            person_class=person_class_of(enrolment.person_class),
            is_civil_servant=enrolment.is_civil_servant,
            account_balance_fen=account.balance_fen,
        ),
        PolicyContext(
            visit=visit.kind,
            hospital_level=state.hospital_level(visit.institution_code),
            filing=_filing_kind(state, visit),
            uses_personal_account=message.value("ykc916") != "0",
            accumulators=account.used(year),
        ),
    )
    return visit, split, year


def _enrolment(person: Person, visit: Visit) -> Enrolment:
    for enrolment in person.active_enrolments:
        if enrolment.insurance_kind == visit.insurance_kind:
            return enrolment
    raise Refused(-21, "该险种无正常参保关系")


def _filing_kind(state: CoreState, visit: Visit) -> FilingKind:
    """By the filing that covers the admission, or was made since: before the settlement is enough (规程 art. 16)."""
    if visit.is_emergency or visit.care_kind in EMERGENCY_CARE:
        return FilingKind.EMERGENCY
    own = state.filings_of(visit.identity_number)
    named = [filing for filing in own if filing.filing_id == visit.filing_id]
    today = datetime.now(SHANGHAI).date()
    for day in (visit.first_day, today):
        for filing in named or own:
            if filing.covers(visit.area, day):
                return _FILING_KINDS[filing.filing_type]
    raise Refused(-22, "无有效的异地就医备案")


def _account(state: CoreState, visit: Visit) -> InsuredAccount:
    return state.account(visit.identity_number, visit.insurance_kind)


def _settlement_output(state: CoreState, visit: Visit, split: Split, year: int, message: Message) -> Output:
    used = _account(state, visit).used(year)
    return {
        "aka105": "1",
        "ykc675": message.value("ykc675"),
        "akc264": to_text(split.total_fen),
        "akc253": to_text(split.full_self_pay_fen),
        "akc254": to_text(split.preceding_fen),
        "yka319": to_text(split.over_limit_fen),
        "ykc624": to_text(split.in_scope_fen),
        "aka151": to_text(split.deductible_fen),
        "akb066": to_text(split.personal_account_fen),
        "akb067": to_text(split.cash_fen),
        "akb068": to_text(split.fund_total_fen),
        "ake039": to_text(split.pooling_fund_fen),
        "ake035": to_text(split.civil_servant_fund_fen),
        "ake026": to_text(split.enterprise_fund_fen),
        "ake029": to_text(split.large_amount_fund_fen),
        "yzc002": to_text(split.personal_part_fen),
        "yzc003": to_text(split.serious_illness_fund_fen),
        "yzc004": to_text(split.assistance_fund_fen),
        "yzc005": to_text(split.other_fund_fen),
        "yzc006": to_text(split.hospital_part_fen),
        "yzc007": format(Decimal(split.pooling_ratio_e4).scaleb(-4), "f"),
        "akc087": to_text(split.account_balance_fen),
        "akc200": str(used.stay_count),
        "aae140": visit.insurance_kind,
        "yzc011": visit.insurance_area,
        "yzc012": "1",
        "yzc013": "21" if visit.kind.value == "inpatient" else "11",
        "detail": _fund_rows(visit, split),
    }


def _fund_rows(visit: Visit, split: Split) -> list[dict[str, str]]:
    paid = {
        "390100" if visit.insurance_kind == "390" else "310100": split.pooling_fund_fen,
        "320100": split.civil_servant_fund_fen,
        "330100": split.large_amount_fund_fen,
        "390200": split.serious_illness_fund_fen,
        "310200": split.personal_account_fen,
        "999996": split.hospital_part_fen,
    }
    return [
        {"aaa157": fund_type, "ykc624": to_text(split.in_scope_fen), "yzc021": "", "aae019": to_text(fen), "aae013": ""}
        for fund_type, fen in paid.items()
        if fen
    ]


_AMOUNTS: Final = frozenset(
    "akc264 akc253 akc254 yka319 ykc624 aka151 akb066 akb067 akb068 ake039 ake035 ake026 ake029 yzc003 yzc004 yzc005"
    " aae019".split()
)


def _negated(name: str, value: "str | list[dict[str, str]]") -> "str | list[dict[str, str]]":
    if isinstance(value, list):
        return [{cell: str(_negated(cell, text)) for cell, text in row.items()} for row in value]
    return to_text(-from_text(value)) if name in _AMOUNTS else value


def _moment() -> str:
    return f"{datetime.now(SHANGHAI):%Y%m%d%H%M%S}"
