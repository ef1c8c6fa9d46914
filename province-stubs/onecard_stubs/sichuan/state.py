"""What the core holds, and how it finds it; the trades stand in trades.py and settling.py."""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from onecard_protocol.china_time import SHANGHAI
from onecard_stubs.insured_account import InsuredAccount
from onecard_stubs.population import Person, Population
from onecard_stubs.sichuan.records import OPEN_END, Credential, Filing, Settlement, Transaction, Visit
from onecard_stubs.sichuan.soap import Message

HOSPITAL_LEVEL_DEFAULT: Final = 3

Output = dict[str, "str | list[dict[str, str]]"]


class Refused(Exception):
    """The core does not do it; a code below zero and a text for the counter."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class CoreState:
    """Everything that the core keeps, in memory."""

    def __init__(self, population: Population) -> None:
        self.population = population
        self.province_area = population.province_area
        self.filings: dict[str, Filing] = {}
        self._filing_ids: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.visits: dict[str, Visit] = {}
        self.settlements: dict[str, Settlement] = {}
        self.transactions: dict[str, Transaction] = {}
        self.accounts: dict[tuple[str, str], InsuredAccount] = {}
        self.hospital_levels: dict[str, int] = {}
        self._numbers = itertools.count(1)

    def is_own(self, insurance_area: str) -> bool:
        """Whether the insured area is this province: then we compute, otherwise we are the place of care."""
        return insurance_area[:2] == self.province_area[:2]

    def new_number(self, letter: str, area: str) -> str:
        """A number of the form letter, area, YYMMDD, 7 digits, as ykc700 (S) and ykc618 (A) have it."""
        return f"{letter}{area}{datetime.now(SHANGHAI):%y%m%d}99{next(self._numbers):05d}"

    def person(self, message: Message) -> Person:
        """The person of a request. Raises Refused."""
        person = self._own_person(message)
        if person is None:
            raise Refused(-21, "无此参保人员")
        return person

    def visit(self, message: Message) -> Visit:
        """The visit of a request; it must be of this institution and person. Raises Refused."""
        visit = self.visits.get(message.value("ykc700"))
        if visit is None or (message.value("akb026") and visit.institution_code != message.value("akb026")):
            raise Refused(-34, "无此就诊登记")
        self.check_person(message, visit)
        return visit

    def check_person(self, message: Message, visit: Visit) -> None:
        """The person of a request, where it names one, is the visit's. Raises Refused."""
        own = self._own_person(message)
        named = message.value("aac044").upper() if own is None else own.identity_number
        if named and visit.identity_number.upper() not in ("", named):
            raise Refused(-34, "就诊登记不属于此人")

    def _own_person(self, message: Message) -> Person | None:
        return self.population.by_identity_number(message.value("aac044")) or self.population.by_personal_number(
            message.value("aac001")
        )

    def hospital_level(self, institution_code: str) -> int:
        """1 to 3; an institution that nobody told the level of counts as the highest."""
        return self.hospital_levels.get(institution_code, HOSPITAL_LEVEL_DEFAULT)

    def account(self, identity_number: str, insurance_kind: str) -> InsuredAccount:
        """The changing side of an own person's enrolment."""
        key = (identity_number, insurance_kind)
        if key not in self.accounts:
            person = self.population.by_identity_number(identity_number)
            balance = 0
            if person is not None:
                balance = sum(
                    enrolment.account_balance_fen
                    for enrolment in person.active_enrolments
                    if enrolment.insurance_kind == insurance_kind
                )
            self.accounts[key] = InsuredAccount(balance)
        return self.accounts[key]

    def add_filing(self, filing: Filing) -> None:
        """Keep a filing; one that is told again takes the place of the former."""
        self.filings[filing.filing_id] = filing
        self._filing_ids[filing.identity_number][filing.filing_id] = None

    def filings_of(self, identity_number: str) -> list[Filing]:
        """The filings of a person, withdrawn ones too."""
        found = (self.filings[filing_id] for filing_id in self._filing_ids.get(identity_number, ()))
        # One that was told again may be another person's by now.
        return [filing for filing in found if filing.identity_number == identity_number]

    def file_for_own_person(self, arguments: Mapping[str, str]) -> dict[str, str]:
        """Make a filing of an own person; the elements by which it is told. Raises ValueError."""
        person = self.population.by_identity_number(arguments["identity_number"])
        if person is None:
            raise ValueError("no such person")
        enrolment = next(
            (item for item in person.active_enrolments if item.insurance_kind == arguments["insurance_kind"]), None
        )
        if enrolment is None:
            raise ValueError("the person has no active enrolment of this kind")
        last_day = arguments.get("last_day", "")
        filing = Filing(
            filing_id=self.new_number("B", enrolment.insurance_area),
            identity_number=person.identity_number,
            filing_type=arguments["filing_type"],
            insurance_area=enrolment.insurance_area,
            destination_area=arguments["destination_area"],
            first_day=day_from(arguments["first_day"]),
            last_day=day_from(last_day) if last_day else OPEN_END,
            insurance_kind=enrolment.insurance_kind,
        )
        self.add_filing(filing)
        return {**person_head(person), **filing_fields(filing), **person_details(person)}

    def withdraw_own_filing(self, filing_id: str, cause: str) -> dict[str, str]:
        """Take an own filing back; the elements by which that is told. Raises ValueError."""
        filing = self.filings.get(filing_id)
        if filing is None or filing.is_withdrawn:
            raise ValueError("no such filing that stands")
        person = self.population.by_identity_number(filing.identity_number)
        if person is None:
            raise ValueError("the filing was told by another province: it is taken back there")
        filing.is_withdrawn = True
        return {**person_head(person), **filing_fields(filing), "aae013": cause}

    def counts(self) -> dict[str, int]:
        """How much the core holds, for people who look at it."""
        return {
            "filings": len(self.filings),
            "visits": len(self.visits),
            "settlements_standing": sum(settlement.stands for settlement in self.settlements.values()),
            "settlements_undone": sum(not settlement.stands for settlement in self.settlements.values()),
            "transactions": sum(not transaction.is_blocked for transaction in self.transactions.values()),
        }

    def standing(self) -> dict[str, str]:
        """The visit number of each settlement that stands, by the settlement's."""
        return {
            number: settlement.visit.visit_id for number, settlement in self.settlements.items() if settlement.stands
        }

    def credentials(self, identity_number: str) -> list[dict[str, Any]]:
        """What each settlement of a person that stands was registered and settled with."""
        return [
            {
                "visit_id": settlement.visit.visit_id,
                "registered": dataclasses.asdict(settlement.visit.credential),
                "settled": dataclasses.asdict(settlement.credential),
            }
            for settlement in self.settlements.values()
            if settlement.stands and settlement.visit.identity_number == identity_number
        ]

    def keep(self, transid: str, trade: str, output: Output, settlement: Settlement | None = None) -> Output:
        """Note a transaction; gives its output."""
        self.transactions[transid] = Transaction(transid=transid, trade=trade, output=output, settlement=settlement)
        return output


def credential_of(message: Message) -> Credential:
    """The credential of a request; empty where none is told."""
    return Credential(
        kind=message.value("ykc911"), number=message.value("ykc912"), recognition_code=message.value("ykc913")
    )


def filing_fields(filing: Filing) -> dict[str, str]:
    """A filing as it is told."""
    return {
        "ykc901": filing.filing_id,
        "ykc902": filing.filing_type,
        "aab301": filing.insurance_area,
        "aab299": filing.destination_area,
        "aae030": f"{filing.first_day:%Y%m%d}",
        "aae031": "" if filing.last_day == OPEN_END else f"{filing.last_day:%Y%m%d}",
        "aae140": filing.insurance_kind,
        "akb026": filing.institution_code,
        "ykc903": "02",
    }


def person_head(person: Person) -> dict[str, str]:
    """The numbers by which a person is told."""
    return {
        "aac001": person.personal_number,
        "aac002": person.identity_number,
        "aac043": "01",
        "aac044": person.identity_number,
    }


def person_details(person: Person) -> dict[str, str]:
    """What is told beside the numbers."""
    return {
        # The core is a GBK system: a character outside it was lost when the name was stored.
        "aac003": person.name.encode("gbk", "replace").decode("gbk"),
        "aac004": person.sex,
        "aac005": person.ethnicity,
        "aac006": f"{person.birth_day:%Y%m%d}",
        "aae005": person.telephone,
        "aae006": person.address,
    }


def day_from(text: str) -> date:
    """A day of eight digits. Raises ValueError."""
    return datetime.strptime(text, "%Y%m%d").replace(tzinfo=SHANGHAI).date()
