"""A registry on PostgreSQL and a province whose copies are what it says, until a test makes them differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from onecard.card.v1 import change_pb2, comparison_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.port import LocalAccount, LocalCard
from onecard_broker.domain.card_state import Card, Cardholder, LocalStatus, Machine, holder_key
from onecard_broker.operations.card_drift import registry_card
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import Connection
from onecard_protocol.identity import check_digit, is_luhn_valid
from onecard_protocol.signatures.sm3 import sm3
from tests.support.card_copies import NotingOffice, Province

HUBEI = "cn-42"
PARTITION_COUNT = 4
_SAVED_COUNT = 5_000


def make_holder(
    serial: int, issuer: str = HUBEI, area: str = "420100", followers: Sequence[str] = (), version: int = 3
) -> Cardholder:
    """A synthetic person with one card in use."""
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
        financial=Machine(
            state=values_pb2.FINANCIAL_STATE_ACTIVE,
            version=2,
            digest=bytes(16),
            changed_ms=1_700_000_000_000,
            local=LocalStatus(system="test.account", version="1", code="1"),
        ),
        recognition_code=f"{area}D156{serial:022d}",
        bank="bank-102",
        bank_card_number=_bank_card_number(serial),
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


def with_social(card: comparison_pb2.CopiedCard, **changes: object) -> comparison_pb2.CopiedCard:
    """A copy that says something else."""
    other = comparison_pb2.CopiedCard()
    other.CopyFrom(card)
    for name, value in changes.items():
        setattr(other, name, value)
    return other


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """Differences that were planted: card numbers by kind."""

    missing_here: frozenset[str]
    missing_there: frozenset[str]
    other_version: frozenset[str]
    other_state: frozenset[str]
    other_data: frozenset[str]

    def by_number(self) -> dict[str, str]:
        """Kind by card number."""
        return {
            number: field.name.replace("_", "-")
            for field in dataclasses.fields(self)
            for number in getattr(self, field.name)
        }


async def plant(
    province: Province, holders: Sequence[Cardholder], strangers: Sequence[Cardholder], each: int
) -> Planted:
    """Let the copies agree but for `each` differences of every kind; strangers are missing in the registry."""
    step = len(holders) // (4 * each)
    chosen = holders[::step][: 4 * each]
    missing, versions, states, data = (chosen[start::4] for start in range(4))
    gone = {id(holder) for holder in missing}
    await province.put([copied(holder) for holder in holders if id(holder) not in gone])
    changed = [with_social(copied(holder), social_version=2 + 2 * (at % 2)) for at, holder in enumerate(versions)]
    changed += [with_social(copied(holder), social_state=values_pb2.SOCIAL_STATE_LOST) for holder in states]
    changed += [with_social(copied(holder), data_digest=bytes(16)) for holder in data]
    await province.put(changed + [copied(stranger) for stranger in strangers[:each]])
    return Planted(
        missing_here=_numbers(strangers[:each]),
        missing_there=_numbers(missing),
        other_version=_numbers(versions),
        other_state=_numbers(states),
        other_data=_numbers(data),
    )


def _numbers(holders: Sequence[Cardholder]) -> frozenset[str]:
    return frozenset(holder.cards[0].number for holder in holders)
