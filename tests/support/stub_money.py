"""The two cores that compute who pays, called without a network, as an insured province for one person of their own."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.insured_account import InsuredAccount
from onecard_stubs.policy import FilingKind, Split, VisitKind
from onecard_stubs.population import Enrolment, Person, Population
from onecard_stubs.sichuan import soap
from onecard_stubs.sichuan.amounts import to_text
from onecard_stubs.sichuan.core import SichuanCore
from onecard_stubs.sichuan.records import OPEN_END
from onecard_stubs.sichuan.records import Filing as SichuanFiling
from onecard_stubs.sichuan.state import Refused
from onecard_stubs.sichuan.trades import TRADES

_HOSPITAL: Final = "H11010099901"
_AREA: Final = "110100"
_FILED_FROM: Final = date(2020, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A fee line as the place of care told it; what is not said to be self-paid is in scope."""

    line_id: str
    amount_fen: int
    self_paid_fen: int = 0
    returns: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a core answered: a refusal has a text."""

    number: str
    """Of the transaction."""
    refusal: str = ""
    values: Mapping[str, Any]
    """The output, by the names of the dialect."""

    @property
    def is_done(self) -> bool:
        """Whether it was not refused."""
        return not self.refusal


@dataclass(frozen=True, slots=True)
class Standing:
    """A settlement that counts."""

    visit_id: str
    split: Split
    kind: VisitKind
    year: int


class MoneyCore(ABC):
    """A core of a province, and one retired employee of it who is filed for the place of care."""

    area: str

    def __init__(self, population: Population) -> None:
        self.person: Person = next(
            person for person in population if [item.person_class for item in person.active_enrolments] == ["1201"]
        )
        self.enrolment: Enrolment = self.person.active_enrolments[0]
        self._numbers = itertools.count(1)

    @property
    @abstractmethod
    def account(self) -> InsuredAccount:
        """The person's."""

    @abstractmethod
    def standing(self) -> list[Standing]:
        """The settlements that count."""

    @abstractmethod
    def file(self, first_day: date, kind: FilingKind = FilingKind.LONG_TERM) -> None:
        """File for the place of care."""

    @abstractmethod
    def admit(self, day: date, *, is_stay: bool = True) -> str:
        """Register; gives the visit's number."""

    @abstractmethod
    def discharge(self, visit_id: str, day: date) -> Told:
        """Discharge."""

    @abstractmethod
    def upload(self, visit_id: str, *lines: Line) -> Told:
        """Upload lines that the place of care split."""

    @abstractmethod
    def withdraw(self, visit_id: str, line_id: str = "") -> Told:
        """Take a line back, or all of them."""

    @abstractmethod
    def pre_settle(self, visit_id: str, total_fen: int) -> Told:
        """The split that settling would give."""

    @abstractmethod
    def settle(self, visit_id: str, total_fen: int, **changes: str) -> Told:
        """Settle; what is changed of the bill is named as the dialect has it."""

    @abstractmethod
    def cancel(self, visit_id: str, settled: Told) -> Told:
        """A red record of a settlement."""

    @abstractmethod
    def reverse(self, original: Told) -> Told:
        """Reverse a settlement or a cancellation."""

    def billed(self, day: date, total_fen: int, *, is_stay: bool = True) -> str:
        """A visit with one line in scope."""
        visit_id = self.admit(day, is_stay=is_stay)
        assert self.upload(visit_id, Line(line_id="A", amount_fen=total_fen)).is_done
        return visit_id


class GuangdongMoney(MoneyCore):
    """Guangdong's core."""

    def __init__(self) -> None:
        self.core = GuangdongCore(Population("440000", count=40))
        super().__init__(self.core.population)
        self._is_stay: dict[str, bool] = {}
        self._trade_of: dict[str, tuple[str, str]] = {}

    @property
    def account(self) -> InsuredAccount:
        return self.core.benefits._account(self.person, self.enrolment)

    def standing(self) -> list[Standing]:
        return [
            Standing(item.visit.visit_id, item.split, item.visit.kind, item.year)
            for item in self.core.benefits.settlements
            if item.original is None and item.is_standing
        ]

    def file(self, first_day: date, kind: FilingKind = FilingKind.LONG_TERM) -> None:
        area = self.enrolment.insurance_area
        self.core.benefits.file(
            self.person,
            insurance_area=area,
            destination_area=_AREA,
            filing_type="12" if kind is FilingKind.LONG_TERM else "23",
            first_day=first_day,
        )

    def admit(self, day: date, *, is_stay: bool = True) -> str:
        head = {
            "psn_no": self.person.personal_number,
            "insutype": self.enrolment.insurance_kind,
            "begntime": day.isoformat(),
        }
        number = str(next(self._numbers))
        if is_stay:
            told = self.send("2401", {"mdtrtinfo": {**head, "med_type": "21", "ipt_no": number}})
            visit_id = str(told.values["result"]["mdtrt_id"])
        else:
            told = self.send("2201", {"data": {**head, "med_type": "11", "ipt_otp_no": number}})
            visit_id = str(told.values["data"]["mdtrt_id"])
        self._is_stay[visit_id] = is_stay
        return visit_id

    def discharge(self, visit_id: str, day: date) -> Told:
        return self.send("2402", {"dscginfo": {**self.visit(visit_id), "endtime": day.isoformat()}})

    def upload(self, visit_id: str, *lines: Line) -> Told:
        return self.send("2301", {"feedetail": self.rows(visit_id, *lines)})

    def rows(self, visit_id: str, *lines: Line) -> list[dict[str, Any]]:
        """Lines as 2301 carries them."""
        return [
            {
                **self.visit(visit_id),
                "feedetl_sn": line.line_id,
                "init_feedetl_sn": line.returns,
                "det_item_fee_sumamt": to_text(line.amount_fen),
                "fulamt_ownpay_amt": to_text(line.self_paid_fen),
                "overlmt_amt": 0,
                "preselfpay_amt": 0,
                "inscp_scp_amt": to_text(line.amount_fen - line.self_paid_fen),
            }
            for line in lines
        ]

    def withdraw(self, visit_id: str, line_id: str = "") -> Told:
        return self.send("2302", {"data": {**self.visit(visit_id), "feedetl_sn": line_id or "0000"}})

    def pre_settle(self, visit_id: str, total_fen: int) -> Told:
        return self.send("2303" if self._is_stay[visit_id] else "2206", self._bill(visit_id, total_fen))

    def settle(self, visit_id: str, total_fen: int, **changes: str) -> Told:
        bill = {"data": {**self._bill(visit_id, total_fen)["data"], **changes}}
        return self.send("2304" if self._is_stay[visit_id] else "2207", bill)

    def cancel(self, visit_id: str, settled: Told) -> Told:
        data = {**self.visit(visit_id), "setl_id": settled.values["setlinfo"]["setl_id"]}
        return self.send("2305" if self._is_stay[visit_id] else "2208", {"data": data})

    def reverse(self, original: Told) -> Told:
        infno, msgid = self._trade_of[original.number]
        data = {"psn_no": self.person.personal_number, "omsgid": msgid, "oinfno": infno}
        return self.send("2601", {"data": data})

    def visit(self, visit_id: str) -> dict[str, Any]:
        """A visit as every trade names it."""
        return {"mdtrt_id": visit_id, "psn_no": self.person.personal_number}

    def _bill(self, visit_id: str, total_fen: int) -> dict[str, dict[str, Any]]:
        return {"data": {**self.visit(visit_id), "medfee_sumamt": to_text(total_fen), "acct_used_flag": "1"}}

    def send(self, infno: str, content: Mapping[str, Any]) -> Told:
        """One trade."""
        msgid = f"M{next(self._numbers)}"
        self._trade_of[msgid] = (infno, msgid)
        answer = self.core.answer(
            {
                "infno": infno,
                "msgid": msgid,
                "insuplc_admdvs": self.enrolment.insurance_area,
                "mdtrtarea_admvs": _AREA,
                "fixmedins_code": _HOSPITAL,
                "input": content,
            }
        )
        return Told(number=msgid, refusal=answer["err_msg"] or "", values=answer.get("output") or {})


class SichuanMoney(MoneyCore):
    """Sichuan's core."""

    def __init__(self) -> None:
        self.core = SichuanCore(Population("510000", seed=1, count=40))
        super().__init__(self.core.state.population)

    @property
    def account(self) -> InsuredAccount:
        return self.core.state.account(self.person.identity_number, self.enrolment.insurance_kind)

    def standing(self) -> list[Standing]:
        return [
            Standing(item.visit.visit_id, item.split, item.visit.kind, item.year)
            for item in self.core.state.settlements.values()
            if item.stands
        ]

    def file(self, first_day: date, kind: FilingKind = FilingKind.LONG_TERM) -> None:
        self.core.state.add_filing(
            SichuanFiling(
                filing_id=str(next(self._numbers)),
                identity_number=self.person.identity_number,
                filing_type="02" if kind is FilingKind.LONG_TERM else "06",
                insurance_area=self.enrolment.insurance_area,
                destination_area=_AREA,
                first_day=first_day,
                last_day=OPEN_END,
                insurance_kind=self.enrolment.insurance_kind,
            )
        )

    def admit(self, day: date, *, is_stay: bool = True) -> str:
        visit_id = f"S{next(self._numbers)}"
        told = self._send(
            "0212",
            visit_id,
            {
                "aab301": self.enrolment.insurance_area,
                "aab299": _AREA,
                "aka130": "21" if is_stay else "11",
                "aae140": self.enrolment.insurance_kind,
                "aae030": f"{day:%Y%m%d}",
            },
        )
        assert told.is_done, told.refusal
        return visit_id

    def discharge(self, visit_id: str, day: date) -> Told:
        return self._send("0214", visit_id, {"akc194": f"{day:%Y%m%d}"})

    def upload(self, visit_id: str, *lines: Line) -> Told:
        rows = [
            {
                "ykc610": line.line_id,
                "ykc611": line.returns,
                "akc227": to_text(line.amount_fen),
                "akc253": to_text(line.self_paid_fen),
                "ykc624": to_text(line.amount_fen - line.self_paid_fen),
            }
            for line in lines
        ]
        return self._send("0301", visit_id, {"detail": rows})

    def withdraw(self, visit_id: str, line_id: str = "") -> Told:
        return self._send("0302", visit_id, {"otransid": "0", "detail": [{"ykc610": line_id}] if line_id else []})

    def pre_settle(self, visit_id: str, total_fen: int) -> Told:
        return self._send("0303", visit_id, {"akc264": to_text(total_fen)})

    def settle(self, visit_id: str, total_fen: int, **changes: str) -> Told:
        return self._send("0304", visit_id, {"akc264": to_text(total_fen), **changes})

    def cancel(self, visit_id: str, settled: Told) -> Told:
        return self._send("0305", visit_id, {"ykc618": settled.values["ykc618"]})

    def reverse(self, original: Told) -> Told:
        return self._send("0306", "", {"otransid": original.number})

    def _send(self, trade: str, visit_id: str, fields: Mapping[str, str | Sequence[Mapping[str, str]]]) -> Told:
        transid = f"T{next(self._numbers)}"
        head = {"akb026": _HOSPITAL, "ykc700": visit_id, "aac044": self.person.identity_number}
        message = soap.read(soap.write_call(soap.TEXT_OPERATION, trade, {**head, **fields}))
        try:
            return Told(number=transid, values=TRADES[trade](self.core.state, message, transid))
        except Refused as refused:
            return Told(number=transid, refusal=f"{refused.code} {refused.text}", values={})


Kind = Callable[[], MoneyCore]
CORES: Final[tuple[Kind, ...]] = (GuangdongMoney, SichuanMoney)


def filed(kind: Kind) -> MoneyCore:
    """A core whose person is filed for years."""
    core = kind()
    core.file(_FILED_FROM)
    return core
