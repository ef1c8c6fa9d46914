"""A registry on PostgreSQL and a province whose copies are what it says, until a test makes them differ."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

from onecard.card.v1 import change_pb2, comparison_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.port import LocalAccount, LocalCard
from onecard_broker.domain.card_state import Card, Cardholder, LocalStatus, Machine, holder_key
from onecard_broker.operations.card_comparison import DifferenceKind, Remedy
from onecard_broker.operations.card_drift import registry_card
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import Connection
from onecard_protocol.identity import check_digit, is_luhn_valid
from onecard_protocol.signatures.sm3 import sm3
from tests.support.card_copies import NotingOffice, Province

HUBEI = "cn-42"
PARTITION_COUNT = 4
_SAVED_COUNT = 5_000
_OPENED = Machine(
    state=values_pb2.FINANCIAL_STATE_ACTIVE,
    version=2,
    digest=bytes(16),
    changed_ms=1_700_000_000_000,
    local=LocalStatus(system="test.account", version="1", code="1"),
)


def make_holder(
    serial: int,
    issuer: str = HUBEI,
    area: str = "420100",
    followers: Sequence[str] = (),
    version: int = 3,
    *,
    has_account: bool = True,
) -> Cardholder:
    """A synthetic person with one card in use, and the card's account unless its bank told of none yet."""
    first_17 = f"420100{19600101 + serial // 1000 % 28}{serial % 1000:03d}"
    card = Card(
        issuer=issuer,
        number=f"{'ABCDEFGH'[serial // 100_000_000]}{serial % 100_000_000:08}",
        sequence=1,
        social=Machine(
            state=values_pb2.SOCIAL_STATE_ACTIVE,
            version=version,
            digest=bytes(16),
            changed_ms=1_700_000_000_000,
            local=LocalStatus(system="test.status", version="1", code="1"),
        ),
        financial=_OPENED if has_account else Machine(),
        recognition_code=f"{area}D156{serial:022d}",
        bank="bank-102",
        bank_card_number=_bank_card_number(serial) if has_account else "",
        generation=3,
        specification_version="3.00",
        card_class="1",
        production_kind="1",
        production_way="2",
        issue_day=20240105,
        residence_area=area,
    )
    return Cardholder(
        subject=sm3(f"{issuer}/{serial}".encode()).hex(),
        number=first_17 + check_digit(first_17),
        name="示例",
        cards=(card,),
        followers=frozenset(followers),
    )


def _bank_card_number(serial: int) -> str:
    """With the check digit that ISO/IEC 7812 asks for."""
    first = f"621700{serial:012d}"
    return next(number for digit in "0123456789" if is_luhn_valid(number := first + digit))


def copied(holder: Cardholder) -> comparison_pb2.CopiedCard:
    """The copy that agrees with the registry."""
    return registry_card(holder, holder.cards[0]).copied


async def fill_registry(connection: Connection, holders: Sequence[Cardholder]) -> None:
    """Put persons into the registry."""
    registry = CardRegistry()
    await registry.prepare(connection, range(PARTITION_COUNT))
    for start in range(0, len(holders), _SAVED_COUNT):
        changes = {
            (index % PARTITION_COUNT, holder_key(holder.subject)): (None, holder)
            for index, holder in enumerate(holders[start : start + _SAVED_COUNT], start)
        }
        async with connection.transaction(), connection.pipeline():
            await registry.save(connection, changes)


class KnowingOffice(NotingOffice):
    """A card office whose system has every card of the numbers up to a bound, as it was made."""

    def __init__(self, holders: Sequence[Cardholder]) -> None:
        super().__init__()
        self._holders = {holder.cards[0].number: holder for holder in holders}

    async def find(self, card: values_pb2.CardReference) -> LocalCard | LocalAccount | None:
        holder = self._holders.get(card.number)
        if holder is None:
            return None
        told = registry_card(holder, holder.cards[0])
        return LocalCard(
            person=told.person,
            card=told.copied.card,
            state=told.copied.social_state,
            change=change_pb2.SOCIAL_CHANGE_UNSPECIFIED,
            occurred_ms=1_700_000_000_000,
            local_status=exchange_values_pb2.CodedValue(system="test.status", version="1", code="1"),
            data=told.data,
            holder=values_pb2.HolderDetails(),
        )


def with_other(card: comparison_pb2.CopiedCard, **changes: object) -> comparison_pb2.CopiedCard:
    """A copy that says something else."""
    other = comparison_pb2.CopiedCard()
    other.CopyFrom(card)
    for name, value in changes.items():
        setattr(other, name, value)
    return other


# By whose word each is repaired: the issuer's, the bank's as the registry has it, or nobody's.
ISSUER, BANK, NOBODY = Remedy.REPORT_AGAIN, Remedy.REPAIR_COPY, Remedy.PERSON
Planted = tuple[DifferenceKind, Remedy]

_MISSING_HERE: Final = DifferenceKind.MISSING_HERE, ISSUER
_MISSING_THERE: Final = DifferenceKind.MISSING_THERE, NOBODY
_ACCOUNT: Final = {"financial_state": values_pb2.FINANCIAL_STATE_ACTIVE, "financial_version": 2}
_NO_ACCOUNT: Final = {"financial_state": values_pb2.FINANCIAL_STATE_UNSPECIFIED, "financial_version": 0}
_OTHER: Final[Sequence[Sequence[tuple[Planted, Mapping[str, object]]]]] = (
    (
        ((DifferenceKind.OTHER_VERSION, ISSUER), {"social_version": 2}),
        ((DifferenceKind.OTHER_VERSION, ISSUER), {"social_version": 4}),
        ((DifferenceKind.OTHER_VERSION, BANK), {"financial_version": 1}),
        ((DifferenceKind.OTHER_VERSION, NOBODY), {"financial_version": 3}),
        ((DifferenceKind.OTHER_VERSION, BANK), _NO_ACCOUNT),
        ((DifferenceKind.OTHER_VERSION, NOBODY), _ACCOUNT),
    ),
    (
        ((DifferenceKind.OTHER_STATE, NOBODY), {"social_state": values_pb2.SOCIAL_STATE_LOST}),
        ((DifferenceKind.OTHER_STATE, BANK), {"financial_state": values_pb2.FINANCIAL_STATE_FROZEN}),
    ),
    # What the issuer tells of the card, its bank included; a copy holds no data that the bank alone tells.
    (((DifferenceKind.OTHER_DATA, NOBODY), {"data_digest": bytes(16)}),),
)
"""What a copy says instead, kind by kind."""


async def plant(
    province: Province, holders: Sequence[Cardholder], strangers: Sequence[Cardholder], each: int
) -> dict[str, Planted]:
    """Let the copies agree but for `each` differences of every kind, in both machines by turns; told by card number.

    Strangers are missing in the registry. Some of the holders must have no account there.
    """
    opened = [holder for holder in holders if holder.cards[0].financial.version]
    chosen = iter(opened[:: len(opened) // (4 * each)])
    unopened = (holder for holder in holders if not holder.cards[0].financial.version)
    missing = list(itertools.islice(chosen, each))
    planted = {_number(one): _MISSING_HERE for one in strangers[:each]} | {
        _number(one): _MISSING_THERE for one in missing
    }
    changed = [copied(stranger) for stranger in strangers[:each]]
    for ways in _OTHER:
        for difference, changes in itertools.islice(itertools.cycle(ways), each):
            holder = next(unopened if changes is _ACCOUNT else chosen)
            planted[_number(holder)] = difference
            changed.append(with_other(copied(holder), **changes))
    gone = {_number(holder) for holder in missing}
    await province.put([copied(holder) for holder in holders if _number(holder) not in gone])
    await province.put(changed)
    return planted


def numbers_of(planted: Mapping[str, Planted], kind_or_remedy: DifferenceKind | Remedy) -> set[str]:
    """The cards of a kind, or of a remedy."""
    return {number for number, one in planted.items() if kind_or_remedy in one}


def _number(holder: Cardholder) -> str:
    return holder.cards[0].number
