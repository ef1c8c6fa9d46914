"""What passes at a hospital's counter: what a patient shows, the visit, its lines, and what came back for a trade."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from onecard_stubs.guangdong import wire
from onecard_stubs.population import Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. `code` is infcode: 0 done, -2 refused, -1 query or reverse."""

    code: int
    text: str
    output: Mapping[str, Any]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the trade was done."""
        return self.code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeItem:
    """One line as the hospital knows it: it does not know how the catalogue splits it."""

    code: str
    name: str
    quantity: Decimal
    price: Decimal
    returns: str = ""
    """Line id that this one takes back; quantity is negative then."""

    @property
    def amount_fen(self) -> int:
        """Quantity by price, half up."""
        return wire.fen(self.quantity * self.price)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a patient shows at the counter."""

    kind: str
    """mdtrt_cert_type: 02 identity card, 03 social security card."""
    number: str
    recognition_code: str = ""
    """card_sn, which goes with a social security card alone."""

    @classmethod
    def identity_card(cls, person: Person) -> "Credential":
        """The person's identity card."""
        return cls(kind="02", number=person.identity_number)

    @classmethod
    def card(cls, number: str, recognition_code: str) -> "Credential":
        """A social security card."""
        return cls(kind="03", number=number, recognition_code=recognition_code)

    def fields(self) -> dict[str, str]:
        """The fields of a request that tell it."""
        told = {"mdtrt_cert_type": self.kind, "mdtrt_cert_no": self.number}
        return told | {"card_sn": self.recognition_code} if self.recognition_code else told


@dataclass(slots=True, kw_only=True)
class Stay:
    """A visit or stay at the counter."""

    person: Person
    credential: Credential
    """What it began with; its bills tell the same, whatever becomes of it."""
    insurance_area: str
    insurance_kind: str
    visit_id: str
    is_inpatient: bool
    lines: dict[str, FeeItem] = field(default_factory=dict)
    totals: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    """Total, full self-pay, over limit, preceding, in scope, in fen, as the answers to the uploads gave them."""
