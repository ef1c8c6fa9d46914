"""What the card office keeps: cards with their history, applications, batches, steps of replacements, others' cards."""

from dataclasses import dataclass, field
from datetime import datetime

from onecard_protocol.china_time import SHANGHAI
from onecard_protocol.identity import to_18_digits
from onecard_stubs.guangxi import wire
from onecard_stubs.population import Person

INITIAL, MAKING, TO_COLLECT, COLLECTED, ACTIVE = "00", "01", "02", "03", "04"
LOST, TEMPORARILY_LOST, REISSUING, CANCELLED, RETURN_FAILED = "05", "06", "07", "09", "13"
TO_ENABLE, SUPERSEDED = "14", "16"
"""14 to 16 are ours: enabling failed after a good return; 16 ended by the successor."""

WORDS = {
    INITIAL: "初始",
    MAKING: "制卡中",
    TO_COLLECT: "待领卡",
    COLLECTED: "已领卡",
    ACTIVE: "OK",
    LOST: "正式挂失",
    TEMPORARILY_LOST: "临时挂失",
    REISSUING: "补卡中",
    CANCELLED: "注销",
    TO_ENABLE: "待激活",
    SUPERSEDED: "已换卡",
}
"""What getCard answers; a status without a word is answered by its code."""


class Refused(Exception):
    """The office does not do it; its text is what stands in ERR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of a card, as it is told; a batch tells it again later, whatever came after."""

    number: str
    status: str
    time: datetime
    values: dict[str, str]


@dataclass(slots=True, kw_only=True)
class Card:
    """One card."""

    person: Person
    number: str
    status: str
    changed: datetime
    production_kind: str = "1"
    production_way: str = "2"
    issued: str = "20220315"
    recognition_code: str = ""
    reset_information: str = "008100000000000099000000"
    bank: str = "95588"
    bank_card_number: str = ""
    electronic_card_id: str = ""
    certificate_serial: str = ""
    """Of the certificate on the chip."""
    certificate_kind: str = "01"
    certificate_number: str = ""
    """A foreigner's, beside the social security number that the person has here; empty: they are the same."""
    replaces: str = ""
    before: str = ""
    """Status before its successor ended it."""
    ended_by: str = ""
    """The replacement that ended it; another one's undoing does not restore it."""

    def is_of(self, number: str) -> bool:
        """Whether it is the card of a person who is named by this number, or by this certificate's."""
        return to_18_digits(number) in (self.person.identity_number, self.certificate_number.upper() or None)

    def event(self) -> Event:
        """The card as it stands, to be told."""
        return Event(number=self.number, status=self.status, time=self.changed, values=self.columns())

    def columns(self) -> dict[str, str]:
        """The card as getAC01 and a notice tell it."""
        person = self.person
        area = person.card_recognition_code[:6]
        string = wire.card_string(
            area=area,
            number=person.identity_number,
            card=self.number,
            code=self.recognition_code,
            name=person.name,
            reset=self.reset_information,
            version="3.00",
            issued=self.issued,
        )
        return {
            wire.CARD_STRING: string,
            "AAZ502": self.status,
            "AAE036": f"{self.changed:%Y%m%d%H%M%S}",
            "AAC058": self.certificate_kind,
            **({"AAC002": self.certificate_number} if self.certificate_number else {}),
            "AAC004": person.sex,
            "AAC005": person.ethnicity,
            "AAC006": f"{person.birth_day:%Y%m%d}",
            "AAC161": "CHN",
            "AAB301": area,
            "AAE008": self.bank,
            "AAE010": self.bank_card_number,
            "ACA017": self.production_kind,
            "ACA015": self.production_way,
            "YKZ502": "1",
            "YKZ505": "1",
            "YKZ507": self.certificate_serial,
            "YKZ508": self.electronic_card_id,
            "YKZ509": "1",
            "YKZ510": self.replaces,
        }


@dataclass(slots=True, kw_only=True)
class Application:
    """An application for a card, until the card is enabled."""

    person: Person
    kind: str
    """办卡类型: 1 new, 2 reissue, 3 replacement."""
    batch: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One step of a replacement that was carried out."""

    local_id: str
    time: datetime


@dataclass(slots=True, kw_only=True)
class Holder:
    """What hangs on a person's card at other systems of the province; local records, nothing more."""

    electronic_card_on: str = ""
    credential_on: str = ""
    medical_account_on: str = ""
    benefit_task: str = ""
    """The replacement for which the agency has to change the account that benefits are paid to."""


@dataclass(slots=True, kw_only=True)
class Books:
    """Everything together, in memory."""

    cards: dict[str, Card] = field(default_factory=dict)
    applications: dict[str, Application] = field(default_factory=dict)
    steps: dict[tuple[str, str], Done] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    copies: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


def now() -> datetime:
    """The time in China."""
    return datetime.now(SHANGHAI)
