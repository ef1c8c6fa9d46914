"""What the insured province decides about its own people: coverage, filings, settlement, cancellation, reversal, query.

Settlements are kept for good: a cancellation adds a red record, a reversal marks a record as no longer valid.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from onecard_stubs.guangdong import sheets, wire
from onecard_stubs.guangdong.records import Filing, Refused, Settlement, Visit, day_of
from onecard_stubs.guangdong.visits import Visits
from onecard_stubs.insured_account import InsuredAccount
from onecard_stubs.policy import (
    FilingKind,
    PolicyContext,
    PolicyPerson,
    Split,
    compute_split,
    person_class_of,
)
from onecard_stubs.population import Enrolment, EnrolmentStatus, Person, Population

_LEVEL_OF_OTHER_PROVINCES = 3
_EMERGENCIES = {"13", "24"}
_FILING_KINDS = {
    "11": FilingKind.LONG_TERM,
    "12": FilingKind.LONG_TERM,
    "13": FilingKind.LONG_TERM,
    "21": FilingKind.REFERRAL,
    "22": FilingKind.EMERGENCY,
    "23": FilingKind.OTHER_TEMPORARY,
}
_REFERRAL_TYPES = {"1": "21", "2": "22", "9": "23"}
_REVERSIBLE = {"2207", "2208", "2304", "2305"}

Asked = tuple[str, str, str]
"""Institution, infno and msgid of a request: two institutions' msgids may be the same."""


def asked(head: Mapping[str, Any]) -> Asked:
    """By what a request is known."""
    return str(head.get("fixmedins_code", "")), str(head.get("infno", "")), str(head.get("msgid", ""))


class Benefits:
    """The insured province's side of the core."""

    def __init__(self, population: Population) -> None:
        self._population = population
        self.filings: dict[str, Filing] = {}
        """Filings of own people and, told from outside, of others, by their id."""
        self.settlements: list[Settlement] = []
        self._of_visit: dict[str, list[Settlement]] = {}
        self._of_msgid: dict[Asked, Settlement] = {}
        self.closed: set[Asked] = set()
        """What was reversed, also before it came: it is not carried out again, nor later."""
        self._accounts: dict[tuple[str, str, str], InsuredAccount] = {}
        self._sequence = 0

    def trades(self, visits: Visits) -> dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]]:
        """Trades by number."""
        visits.settled = lambda visit: self._standing(visit) is not None

        def with_visit(
            work: Callable[[Mapping[str, Any], Mapping[str, Any], Visit], dict[str, Any]],
        ) -> Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]:
            return lambda head, content: work(
                head, content["data"], visits.find(content["data"]["mdtrt_id"], content["data"]["psn_no"])
            )

        return {
            "1101": self._identify,
            "2501": self._file,
            "2502": self._withdraw_filing,
            "2206": with_visit(self._pre_settle),
            "2303": with_visit(self._pre_settle),
            "2207": with_visit(self._settle),
            "2304": with_visit(self._settle),
            "2208": with_visit(self._cancel),
            "2305": with_visit(self._cancel),
            "2601": self._reverse,
            "5203": with_visit(self._query),
        }

    def file(
        self,
        person: Person,
        *,
        insurance_area: str,
        destination_area: str,
        filing_type: str = "23",
        first_day: date,
        last_day: date | None = None,
        insurance_kind: str = "",
    ) -> Filing:
        """File as the agency's own counter does."""
        return self._add_filing(
            Filing(
                filing_id="",
                personal_number=person.personal_number,
                filing_type=filing_type,
                insurance_area=insurance_area,
                destination_area=destination_area,
                first_day=first_day,
                last_day=last_day,
                insurance_kind=insurance_kind,
            )
        )

    def _add_filing(self, filing: Filing) -> Filing:
        self._sequence += 1
        numbered = Filing(
            filing_id=filing.filing_id or f"B{filing.insurance_area}{wire.now():%Y%m%d}99{self._sequence:06d}",
            personal_number=filing.personal_number,
            filing_type=filing.filing_type,
            insurance_area=filing.insurance_area,
            destination_area=filing.destination_area,
            first_day=filing.first_day,
            last_day=filing.last_day,
            insurance_kind=filing.insurance_kind,
            institution_code=filing.institution_code,
        )
        self.filings[numbered.filing_id] = numbered
        return numbered

    def _person(self, data: Mapping[str, Any]) -> Person:
        for number in (data.get("certno"), data.get("mdtrt_cert_no")):
            if number:
                person = self._population.by_identity_number(str(number)) or self._population.by_card_number(
                    str(number)
                )
                if person is not None:
                    return person
        raise Refused("未查询到人员信息")

    def _identify(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        data = content["data"]
        person = self._person(data)
        if data.get("psn_name") and data["psn_name"] != person.name:
            raise Refused("姓名与参保信息不符")
        day = day_of(data["begntime"]) if data.get("begntime") else wire.now().date()
        standing = [
            filing
            for filing in self.filings.values()
            if filing.personal_number == person.personal_number
            and filing.first_day <= day
            and (filing.last_day is None or day <= filing.last_day)
        ]
        balances = [self._account(person, enrolment).balance_fen for enrolment in person.enrolments]
        return sheets.coverage(person, standing, balances)

    def _file(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        form = content["refmedin"]
        filing_type = str(form["refl_type"])
        known_id = str(form.get("trt_dcla_detl_sn") or "")
        person = self._population.by_personal_number(str(form["psn_no"]))
        # A filing that comes with its id was made by the person's own province; we only take note of it.
        if person is None and not known_id:
            raise Refused("未查询到参保人员")
        filing = self._add_filing(
            Filing(
                filing_id=known_id,
                personal_number=str(form["psn_no"]),
                filing_type=_REFERRAL_TYPES.get(filing_type, filing_type),
                insurance_area=str(form.get("insu_optins") or head["insuplc_admdvs"]),
                destination_area=str(form["mdtrtarea_admdvs"]),
                first_day=day_of(form["begndate"]),
                last_day=day_of(form["enddate"]) if form.get("enddate") else None,
                insurance_kind=str(form.get("insutype") or ""),
                institution_code=str(form.get("reflin_medins_no") or ""),
            )
        )
        result: dict[str, Any] = {"trt_dcla_detl_sn": filing.filing_id}
        if person is not None:
            result.update(psn_cert_type="01", certno=person.identity_number, psn_name=person.name)
        return {"result": result}

    def _withdraw_filing(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        data = content["data"]
        filing = self.filings.get(str(data["trt_dcla_detl_sn"]))
        if filing is None or filing.personal_number != str(data["psn_no"]):
            raise Refused("备案记录不存在")
        del self.filings[filing.filing_id]
        return {}

    def _account(self, person: Person, enrolment: Enrolment) -> InsuredAccount:
        key = (person.personal_number, enrolment.insurance_area, enrolment.insurance_kind)
        if key not in self._accounts:
            self._accounts[key] = InsuredAccount(enrolment.account_balance_fen)
        return self._accounts[key]

    def _enrolment(self, visit: Visit) -> tuple[Person, Enrolment]:
        person = self._population.by_personal_number(visit.personal_number)
        if person is not None:
            for enrolment in person.enrolments:
                if (
                    enrolment.status is EnrolmentStatus.ACTIVE
                    and enrolment.insurance_kind == visit.insurance_kind
                    and enrolment.insurance_area == visit.insurance_area
                ):
                    return person, enrolment
        raise Refused("没有有效的参保关系")

    def _computed(self, data: Mapping[str, Any], visit: Visit) -> tuple[Split, InsuredAccount, str]:
        if self._standing(visit) is not None:
            raise Refused("该次就诊已结算")
        if str(data.get("mid_setl_flag") or "0") == "1":
            raise Refused("本系统不办理中途结算")
        fees = visit.fees
        if not visit.lines:
            raise Refused("没有费用明细，不能结算")
        if wire.fen(data["medfee_sumamt"]) != fees.total_fen:
            raise Refused("医疗费总额与明细不符")
        person, enrolment = self._enrolment(visit)
        account = self._account(person, enrolment)
        context = PolicyContext(
            visit=visit.kind,
            hospital_level=_LEVEL_OF_OTHER_PROVINCES,
            filing=self._filing_kind(data, visit),
            uses_personal_account=str(data.get("acct_used_flag") or "0") == "1",
            accumulators=account.used(visit.year),
        )
        policy_person = PolicyPerson(
            person_class=person_class_of(enrolment.person_class),
            is_civil_servant=enrolment.is_civil_servant,
            account_balance_fen=account.balance_fen,
        )
        return compute_split(fees, policy_person, context), account, enrolment.person_class

    def _filing_kind(self, data: Mapping[str, Any], visit: Visit) -> FilingKind:
        """By the filing that covers the admission, or was made since (规程 art. 16).

        Emergency rescue counts as filed (art. 8, 34).
        """
        named = str(data.get("trt_dcla_detl_sn") or "")
        for day in (visit.first_day, wire.now().date()):
            for filing in self.filings.values():
                if (
                    filing.personal_number == visit.personal_number
                    and named in ("", filing.filing_id)
                    and filing.covers(visit.place_area, visit.institution_code, day)
                ):
                    return _FILING_KINDS[filing.filing_type]
        if visit.med_type in _EMERGENCIES:
            return FilingKind.EMERGENCY
        raise Refused("没有有效的异地就医备案")

    def _pre_settle(self, head: Mapping[str, Any], data: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
        split, _, person_type = self._computed(data, visit)
        return sheets.settled(visit, split, person_type=person_type, msgid=str(head["msgid"]))

    def _standing(self, visit: Visit) -> Settlement | None:
        for settlement in self._of_visit.get(visit.visit_id, ()):
            if settlement.original is None and settlement.is_standing:
                return settlement
        return None

    def _keep(self, head: Mapping[str, Any], settlement: Settlement) -> None:
        self.settlements.append(settlement)
        self._of_visit.setdefault(settlement.visit.visit_id, []).append(settlement)
        self._of_msgid[asked(head)] = settlement

    def _settle(self, head: Mapping[str, Any], data: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
        split, account, person_type = self._computed(data, visit)
        settlement = Settlement(
            settlement_id=self._next_settlement_id(visit),
            msgid=str(head["msgid"]),
            infno=str(head["infno"]),
            visit=visit,
            split=split,
            year=visit.year,
            time=wire.now(),
            person_type=person_type,
        )
        account.post(split, visit.kind, settlement.year)
        self._keep(head, settlement)
        return sheets.of_settlement(settlement)

    def _next_settlement_id(self, visit: Visit) -> str:
        self._sequence += 1
        return f"A{visit.insurance_area}{wire.now():%y%m%d}{self._sequence:07d}"

    def _cancel(self, head: Mapping[str, Any], data: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
        original = next(
            (item for item in self._of_visit.get(visit.visit_id, ()) if item.settlement_id == str(data["setl_id"])),
            None,
        )
        if original is None or original.original is not None:
            raise Refused("结算记录不存在")
        if not original.is_standing:
            raise Refused("结算已撤销或已冲正")
        account = self._account_of(visit)
        account.undo(original.split, visit.kind, original.year)
        red = Settlement(
            settlement_id=self._next_settlement_id(visit),
            msgid=str(head["msgid"]),
            infno=str(head["infno"]),
            visit=visit,
            split=replace(original.split, account_balance_fen=account.balance_fen),
            year=original.year,
            time=wire.now(),
            person_type=original.person_type,
            original=original,
        )
        original.cancelled_by = red
        self._keep(head, red)
        return sheets.of_settlement(red)

    def _account_of(self, visit: Visit) -> InsuredAccount:
        return self._account(*self._enrolment(visit))

    def _reverse(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        data = content["data"]
        original = asked({**head, "infno": data["oinfno"], "msgid": data["omsgid"]})
        if original[1] not in _REVERSIBLE:
            raise Refused("该类交易不可冲正")
        record = self._of_msgid.get(original)
        if record is None:
            self.closed.add(original)
        if record is None or record.visit.personal_number != str(data["psn_no"]):
            raise Refused("原交易不存在")
        # Undone once, answered the same for ever.
        if not record.is_valid:
            return {}
        account = self._account_of(record.visit)
        if record.original is not None:
            if self._standing(record.visit) is not None:
                raise Refused("该次就诊已重新结算，撤销不可冲正")
            if record.visit.fees != record.split.fees:
                raise Refused("费用明细已变动，撤销不可冲正")
            if not account.bears(record.split, record.visit.kind, record.year):
                raise Refused("退回的个人账户金额、年度限额或首次住院起付线已被使用，撤销不可冲正")
            account.post(record.split, record.visit.kind, record.year)
        else:
            if not record.is_standing:
                raise Refused("该结算已撤销，不可冲正")
            account.undo(record.split, record.visit.kind, record.year)
        record.is_valid = False
        self.closed.add(original)
        return {}

    def _query(self, head: Mapping[str, Any], data: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
        wanted = str(data.get("setl_id") or "")
        found = [item for item in self._of_visit.get(visit.visit_id, ()) if wanted in ("", item.settlement_id)]
        if wanted and not found:
            raise Refused("未查询到结算信息")
        return sheets.queried(found)
