"""The catalogue of the place of care: which part of a line the patient pays before any policy applies (就医地目录)."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from onecard_stubs.sichuan.amounts import round_half_up

NO_LIMIT: Final = Decimal(999_999)
"""The sentinel by which a price has no limit; it is not money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueItem:
    """One drug, service or material."""

    level: str
    """aka065: 1 甲 (in scope), 2 乙 (the patient pays a part first), 3 丙 (the patient pays all)."""
    self_pay_ratio: Decimal
    price_limit: Decimal = NO_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSplit:
    """A line by the catalogue, in fen; a return line's parts are negative."""

    item: CatalogueItem
    full_self_pay_fen: int
    over_limit_fen: int
    preceding_fen: int
    in_scope_fen: int


_SELF_PAID: Final = CatalogueItem(level="3", self_pay_ratio=Decimal(1))

CATALOGUE: Final = {
    "XN05CDD158A001010100001": CatalogueItem(level="1", self_pay_ratio=Decimal(0)),
    "XJ01DDT097B001010100002": CatalogueItem(level="2", self_pay_ratio=Decimal("0.1")),
    "XB01ABY170B001010100003": CatalogueItem(level="2", self_pay_ratio=Decimal("0.05")),
    "001101000010000": CatalogueItem(level="1", self_pay_ratio=Decimal(0), price_limit=Decimal(60)),
    "001102000010000": CatalogueItem(level="1", self_pay_ratio=Decimal(0)),
    "002504010010000": CatalogueItem(level="2", self_pay_ratio=Decimal("0.2"), price_limit=Decimal(300)),
    "C0201021770200202120000001": CatalogueItem(level="2", self_pay_ratio=Decimal("0.3"), price_limit=Decimal(5000)),
}
"""By national code; what is not in it is paid by the patient."""


def split_line(item_code: str, quantity: Decimal, price: Decimal, amount_fen: int) -> LineSplit:
    """Split a line by the catalogue. The parts add up to the amount, whatever its sign."""
    item = CATALOGUE.get(item_code, _SELF_PAID)
    if item.level == "3":
        return LineSplit(item=item, full_self_pay_fen=amount_fen, over_limit_fen=0, preceding_fen=0, in_scope_fen=0)
    # A limit above the price bites nothing; a rounded amount may lie a fen below what the limit allows.
    allowed = round_half_up(quantity * min(price, item.price_limit) * 100)
    over_limit = amount_fen - allowed if price > item.price_limit else 0
    left = amount_fen - over_limit
    preceding = round_half_up(left * item.self_pay_ratio)
    return LineSplit(
        item=item,
        full_self_pay_fen=0,
        over_limit_fen=over_limit,
        preceding_fen=preceding,
        in_scope_fen=left - preceding,
    )
