"""The core's trades over its state. Each takes a request and the transid, and gives the output or raises Refused."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from onecard_protocol.china_time import SHANGHAI
from onecard_stubs.fee_lines import fees_of, fitted
from onecard_stubs.sichuan import filings, settling
from onecard_stubs.sichuan.amounts import decimal_from, from_text, round_half_up, to_text
from onecard_stubs.sichuan.catalogue import split_line
from onecard_stubs.sichuan.records import Line, Transaction, Visit
from onecard_stubs.sichuan.soap import Fields, Message
from onecard_stubs.sichuan.state import (
    CoreState,
    Output,
    Refused,
    credential_of,
    day_from,
    filing_fields,
    person_details,
    person_head,
)

LINES_PER_CALL_MAX: Final = 100
LINES_PER_PAGE: Final = 100
ALL_LINES: Final = "0"
PERSON_CLASS_TO_LOCAL: Final = {"1101": "11", "1102": "12", "1201": "21", "1405": "45", "1501": "51"}
STATUS_TO_LOCAL: Final = {"1": "1", "2": "2", "4": "3"}

_ABSENT, _EXECUTED, _UNDONE = "0", "1", "2"
_REGISTER: Final = "0212"


def identify(state: CoreState, message: Message, _: str) -> Output:
    """0211: the person with all enrolments, and the filings valid on the day."""
    person = state.person(message)
    day = day_from(message.value("ake007")) if message.value("ake007") else datetime.now(SHANGHAI).date()
    asked_area = message.value("aab301")
    enrolments = sorted(person.active_enrolments, key=lambda item: item.insurance_area != asked_area)
    if not enrolments:
        raise Refused(-21, "参保关系不在正常状态")
    first = enrolments[0]
    account = state.account(person.identity_number, first.insurance_kind)
    valid_filings = [
        filing_fields(filing)
        for filing in state.filings_of(person.identity_number)
        if not filing.is_withdrawn and filing.first_day <= day <= filing.last_day
    ]
    return {
        **person_head(person),
        "aab301": first.insurance_area,
        "yab060": "",
        **person_details(person),
        "ykc021": PERSON_CLASS_TO_LOCAL[first.person_class],
        "akc026": "1" if first.is_civil_servant else "0",
        "akc023": str(day.year - person.birth_day.year),
        "akc252": to_text(account.balance_fen),
        "aab004": first.employer_name,
        "akc200": str(account.used(day.year).stay_count),
        "detail": [
            {
                "aae140": enrolment.insurance_kind,
                "aac031": STATUS_TO_LOCAL[enrolment.status.value],
                "ykc021": PERSON_CLASS_TO_LOCAL[enrolment.person_class],
                "aab301": enrolment.insurance_area,
                "akc252": to_text(
                    state.account(person.identity_number, enrolment.insurance_kind).balance_fen
                    if enrolment in person.active_enrolments
                    else enrolment.account_balance_fen
                ),
                "aac030": f"{enrolment.first_day:%Y%m%d}",
                "aae031": f"{enrolment.last_day:%Y%m%d}" if enrolment.last_day else "",
                "aab004": enrolment.employer_name,
                "akc026": "1" if enrolment.is_civil_servant else "0",
            }
            for enrolment in person.enrolments
        ],
        "filings": valid_filings,
    }


def register(state: CoreState, message: Message, transid: str) -> Output:
    """0212: an own person's visit elsewhere (its number is given), or a foreign person's visit here (we number it)."""
    insurance_area, visit_id = message.value("aab301"), message.value("ykc700")
    identity_number = message.value("aac044")
    if state.is_own(insurance_area):
        person = state.person(message)
        identity_number = person.identity_number
        if not any(item.insurance_kind == message.value("aae140") for item in person.active_enrolments):
            raise Refused(-21, "该险种无正常参保关系")
        if not visit_id:
            raise Refused(-34, "缺少就诊登记号")
    visit_id = visit_id or state.new_number("S", insurance_area)
    if visit_id in state.visits:
        raise Refused(-35, "就诊登记号重复")
    state.visits[visit_id] = Visit(
        visit_id=visit_id,
        institution_code=message.value("akb026"),
        area=message.value("aab299"),
        identity_number=identity_number,
        insurance_area=insurance_area,
        insurance_kind=message.value("aae140"),
        care_kind=message.value("aka130"),
        first_day=day_from(message.value("aae030")),
        filing_id=message.value("ykc901"),
        is_emergency=message.value("ykc904") == "1",
        credential=credential_of(message),
    )
    return state.keep(transid, message.trade, {"ykc700": visit_id})


def discharge(state: CoreState, message: Message, transid: str) -> Output:
    """0214."""
    visit = state.visit(message)
    visit.last_day = settling.last_day_of(visit, message)
    return state.keep(transid, message.trade, {"ykc700": visit.visit_id})


def upload_lines(state: CoreState, message: Message, transid: str) -> Output:
    """0301: an own person's lines come split by the place of care; a foreign person's lines are split here."""
    visit = state.visit(message)
    if visit.is_settled:
        raise Refused(-32, "该次就诊已结算，不能上传明细")
    rows = message.rows("detail")
    if not 1 <= len(rows) <= LINES_PER_CALL_MAX:
        raise Refused(-1, f"每次上传1至{LINES_PER_CALL_MAX}条明细")
    is_own = state.is_own(visit.insurance_area)
    lines = dict(visit.lines)
    split_rows = []
    for row in rows:
        line = _line_as_told(row, transid) if is_own else _line_by_catalogue(row, transid, lines)
        if line.line_id in lines:
            raise Refused(-39, f"明细流水号重复：{line.line_id}")
        if line.amount_fen < 0 and line.returned_line_id not in lines:
            raise Refused(-39, f"退费明细未指明原明细：{line.line_id}")
        lines[line.line_id] = line
        if not is_own:
            split_rows.append(_line_fields(line))
    _replace_lines(visit, lines)
    return state.keep(transid, message.trade, {"detail": split_rows, **_totals(visit)})


def withdraw_lines(state: CoreState, message: Message, transid: str) -> Output:
    """0302: all lines (otransid 0 and none named), one upload's (otransid), or those named."""
    visit = state.visit(message)
    if visit.is_settled:
        raise Refused(-32, "该次就诊已结算，不能撤销明细")
    named = {row["ykc610"] for row in message.rows("detail")} | ({message.value("ykc610")} - {""})
    original = message.value("otransid")
    if named - set(visit.lines):
        raise Refused(-39, "无此明细")
    if not named:
        named = {line_id for line_id, line in visit.lines.items() if original in {ALL_LINES, line.transid}}
    _replace_lines(visit, {line_id: line for line_id, line in visit.lines.items() if line_id not in named})
    return state.keep(transid, message.trade, _totals(visit))


def query_totals(state: CoreState, message: Message, _: str) -> Output:
    """0706."""
    return _totals(state.visit(message))


def query_lines(state: CoreState, message: Message, _: str) -> Output:
    """0707: from startrow, counted from 1."""
    start = max(1, int(message.value("startrow") or "1")) - 1
    lines = list(state.visit(message).lines.values())
    return {
        "ykc690": str(len(lines)),
        "detail": [_line_fields(line) for line in lines[start : start + LINES_PER_PAGE]],
    }


def query_transaction(state: CoreState, message: Message, _: str) -> Output:
    """0708: by transid, or by the number of a settlement."""
    transaction = state.transactions.get(message.value("otransid"))
    settlement = state.settlements.get(message.value("ykc618"))
    if transaction is None and settlement is not None:
        transaction = state.transactions[settlement.transid]
    if transaction is None or transaction.is_blocked:
        return {"ykc701": _ABSENT}
    is_undone = transaction.is_undone or (
        transaction.trade == "0304" and transaction.settlement is not None and transaction.settlement.is_cancelled
    )
    return {"ykc701": _UNDONE if is_undone else _EXECUTED, **transaction.output, "otransid": transaction.transid}


def reverse(state: CoreState, message: Message, transid: str) -> Output:
    """0306: undo a settlement, a cancellation or a registration; a transid that never came is closed for ever."""
    original = message.value("otransid")
    if not original:
        raise Refused(-36, "缺少原流水号")
    transaction = state.transactions.get(original)
    if transaction is None:
        state.transactions[original] = Transaction(transid=original, trade="", output={}, is_blocked=True)
        return state.keep(transid, message.trade, {"ykc701": _ABSENT})
    if transaction.is_blocked:
        return state.keep(transid, message.trade, {"ykc701": _ABSENT})
    if transaction.settlement is not None:
        state.check_person(message, transaction.settlement.visit)
    if transaction.is_undone:
        raise Refused(-36, "该交易已冲正")
    if transaction.trade == _REGISTER:
        _strike_out(state, message, str(transaction.output["ykc700"]))
    else:
        settling.reverse(state, transaction)
    transaction.is_undone = True
    return state.keep(transid, message.trade, {"ykc701": _UNDONE})


def _strike_out(state: CoreState, message: Message, visit_id: str) -> None:
    """A visit as if it had never been registered."""
    visit = state.visits[visit_id]
    state.check_person(message, visit)
    if visit.lines or visit.last_day or visit.settlements:
        raise Refused(-36, "该次就诊已发生业务，不可冲正登记")
    del state.visits[visit_id]


def _line_as_told(row: Mapping[str, str], transid: str) -> Line:
    line = Line(
        line_id=row["ykc610"],
        returned_line_id=row.get("ykc611", ""),
        transid=transid,
        cells=dict(row),
        amount_fen=from_text(row["akc227"]),
        full_self_pay_fen=from_text(row.get("akc253", "")),
        over_limit_fen=from_text(row.get("yka319", "")),
        preceding_fen=from_text(row.get("akc254", "")),
        in_scope_fen=from_text(row.get("ykc624", "")),
    )
    if not line.is_sound:
        raise Refused(-31, f"明细各部分的合计或正负与金额不一致：{line.line_id}")
    return line


def _line_by_catalogue(row: Mapping[str, str], transid: str, held: Mapping[str, Line]) -> Line:
    quantity, price = decimal_from(row["akc226"]), decimal_from(row["akc225"])
    amount_fen = from_text(row["akc227"])
    if amount_fen != round_half_up(quantity * price * 100):
        raise Refused(-31, f"明细金额与单价数量不符：{row['ykc610']}")
    split = split_line(row["ake001"], quantity, price, amount_fen)
    returned_line_id = row.get("ykc611", "")
    parts = split.full_self_pay_fen, split.over_limit_fen, split.preceding_fen, split.in_scope_fen
    full_self_pay_fen, over_limit_fen, preceding_fen, in_scope_fen = fitted(parts, returned_line_id, held)
    return Line(
        line_id=row["ykc610"],
        returned_line_id=returned_line_id,
        transid=transid,
        cells={
            **row,
            "aka065": split.item.level,
            "aka069": _plain(split.item.self_pay_ratio),
            "aka068": _plain(split.item.price_limit),
        },
        amount_fen=amount_fen,
        full_self_pay_fen=full_self_pay_fen,
        over_limit_fen=over_limit_fen,
        preceding_fen=preceding_fen,
        in_scope_fen=in_scope_fen,
    )


def _line_fields(line: Line) -> dict[str, str]:
    return {
        **line.cells,
        "akc227": to_text(line.amount_fen),
        "akc253": to_text(line.full_self_pay_fen),
        "yka319": to_text(line.over_limit_fen),
        "akc254": to_text(line.preceding_fen),
        "ykc624": to_text(line.in_scope_fen),
    }


def _replace_lines(visit: Visit, lines: dict[str, Line]) -> None:
    try:
        fees_of(lines.values())
    except ValueError as error:
        raise Refused(-31, "退费超过原明细") from error
    visit.lines = lines


def _totals(visit: Visit) -> Output:
    fees = visit.fees
    return {
        "ykc690": str(len(visit.lines)),
        "akc264": to_text(fees.total_fen),
        "akc253": to_text(fees.full_self_pay_fen),
        "yka319": to_text(fees.over_limit_fen),
        "akc254": to_text(fees.preceding_fen),
        "ykc624": to_text(fees.in_scope_fen),
    }


def _plain(number: Decimal) -> str:
    return format(number, "f")


TRADES: Final[dict[str, Callable[[CoreState, Message, str], Fields]]] = {
    "0211": identify,
    "0212": register,
    "0214": discharge,
    "0221": filings.file,
    "0222": filings.withdraw_filing,
    "0223": filings.note_filing,
    "0301": upload_lines,
    "0302": withdraw_lines,
    "0303": settling.trial,
    "0304": settling.settle,
    "0305": settling.cancel,
    "0306": reverse,
    "0706": query_totals,
    "0707": query_lines,
    "0708": query_transaction,
}
