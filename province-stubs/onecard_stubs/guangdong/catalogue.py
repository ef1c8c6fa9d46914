"""The catalogue of the place of care, and how it splits one fee line into four parts that add up."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from importlib import resources

from onecard_protocol.yaml_text import read_yaml

_SELF_PAID = "03"
_OTHER_CHARGES = "14"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An item of the catalogue."""

    code: str
    name: str
    charge: str
    level: str
    ratio: Decimal
    limit: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLine:
    """A fee line split: amount = full_self_pay + over_limit + preceding + in_scope, in fen."""

    amount_fen: int
    full_self_pay_fen: int
    over_limit_fen: int
    preceding_fen: int
    in_scope_fen: int
    item: Item


class Catalogue:
    """Items by their national code."""

    def __init__(self, items: dict[str, Item]) -> None:
        self._items = items

    @classmethod
    def load(cls) -> "Catalogue":
        """The catalogue that ships with the stub."""
        text = resources.files(__package__).joinpath("catalogue.yaml").read_text(encoding="utf-8")
        _, content = read_yaml(text, "catalogue.yaml")
        items = [
            Item(
                code=row["code"],
                name=row["name"],
                charge=row["charge"],
                level=row["level"],
                ratio=Decimal(row["ratio"]),
                limit=Decimal(row["limit"]) if "limit" in row else None,
            )
            for row in content["items"]
        ]
        return cls({item.code: item for item in items})

    def item(self, code: str) -> Item:
        """The item of a code; one that is not in the catalogue is wholly self-paid."""
        return self._items.get(code) or Item(
            code=code, name="", charge=_OTHER_CHARGES, level=_SELF_PAID, ratio=Decimal(1), limit=None
        )

    def split(self, code: str, *, amount_fen: int, quantity: Decimal) -> SplitLine:
        """Split a line; a return line (negative) is the exact negation of what it takes back."""
        item = self.item(code)
        sign = -1 if amount_fen < 0 else 1
        amount, count = abs(amount_fen), abs(quantity)
        full = over = preceding = 0
        if item.level == _SELF_PAID:
            full = amount
        else:
            if item.limit is not None:
                over = max(0, amount - _half_up(item.limit * count * 100))
            preceding = _half_up((amount - over) * item.ratio)
        return SplitLine(
            amount_fen=amount_fen,
            full_self_pay_fen=sign * full,
            over_limit_fen=sign * over,
            preceding_fen=sign * preceding,
            in_scope_fen=sign * (amount - full - over - preceding),
            item=item,
        )


def _half_up(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))
