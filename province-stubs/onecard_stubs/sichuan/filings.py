"""The core's trades about filings: made for own people, told by other provinces, taken back."""

from onecard_stubs.sichuan.records import OPEN_END, Filing
from onecard_stubs.sichuan.soap import Message
from onecard_stubs.sichuan.state import CoreState, Output, Refused, day_from


def file(state: CoreState, message: Message, transid: str) -> Output:
    """0221: the place of care asks us to file for an own person."""
    person = state.person(message)
    if not any(item.insurance_kind == message.value("aae140") for item in person.active_enrolments):
        raise Refused(-21, "该险种无正常参保关系")
    filing = _filing_from(message, state.new_number("B", message.value("aab301")), person.identity_number)
    state.add_filing(filing)
    return state.keep(transid, message.trade, {"ykc901": filing.filing_id})


def note_filing(state: CoreState, message: Message, transid: str) -> Output:
    """0223: the insured province tells us of a filing for care here."""
    if not message.value("ykc901"):
        raise Refused(-41, "缺少备案编号")
    filing = _filing_from(message, message.value("ykc901"), message.value("aac044"))
    state.add_filing(filing)
    return state.keep(transid, message.trade, {"ykc901": filing.filing_id})


def withdraw_filing(state: CoreState, message: Message, transid: str) -> Output:
    """0222: a filing made here or told to us."""
    filing = state.filings.get(message.value("ykc901"))
    if filing is None or filing.is_withdrawn:
        raise Refused(-41, "无此备案或备案已撤销")
    filing.is_withdrawn = True
    return state.keep(transid, message.trade, {"ykc901": filing.filing_id})


def _filing_from(message: Message, filing_id: str, identity_number: str) -> Filing:
    last_day = message.value("aae031")
    return Filing(
        filing_id=filing_id,
        identity_number=identity_number,
        filing_type=message.value("ykc902"),
        insurance_area=message.value("aab301"),
        destination_area=message.value("aab299"),
        first_day=day_from(message.value("aae030")),
        last_day=day_from(last_day) if last_day else OPEN_END,
        insurance_kind=message.value("aae140"),
        institution_code=message.value("akb026"),
    )
