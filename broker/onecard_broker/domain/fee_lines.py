"""The sums of one fee line, as the place of care classified it (domain.md, 1.2 and 1.7)."""

from __future__ import annotations

from typing import Final

from onecard.medical.v1 import encounter_pb2
from onecard_broker.domain.settlement_amounts import FEE_PARTS
from onecard_protocol.errors import Violation

_E8_PER_FEN: Final = 10**8
"""Quantity in 10⁻⁴ times price in 10⁻⁶ yuan, in one fen."""
RATIO_E4_MAX: Final = 10_000


def amount_of(quantity_e4: int, unit_price_e6: int) -> int:
    """Quantity times price in fen, half up away from zero, so that a return line mirrors the line that it returns."""
    product_e8 = abs(quantity_e4 * unit_price_e6)
    amount_fen = (2 * product_e8 + _E8_PER_FEN) // (2 * _E8_PER_FEN)
    return amount_fen if quantity_e4 * unit_price_e6 >= 0 else -amount_fen


def check_fee_line(line: encounter_pb2.FeeLine, path: str) -> tuple[list[Violation], list[Violation]]:
    """What is wrong with a line's form, and with its sums; `path` ends with a dot.

    A return line names the line that it takes back and is negative in quantity and amount; any other is in neither.
    """
    form: list[Violation] = []
    amounts: list[Violation] = []
    if line.unit_price_e6 < 0:
        form.append((f"{path}unit_price_e6", "is negative: a return is told by its quantity"))
    if not 0 <= line.self_pay_ratio_e4 <= RATIO_E4_MAX:
        form.append((f"{path}self_pay_ratio_e4", "is no ratio"))
    if (line.quantity_e4 < 0) != bool(line.returned_line_id):
        form.append((f"{path}returned_line_id", "stands on lines of negative quantity, and only there"))
    parts_fen = [getattr(line, name) for name in FEE_PARTS]
    if any(part_fen * (-1 if line.quantity_e4 < 0 else 1) < 0 for part_fen in parts_fen):
        amounts.append((f"{path}amount_fen", "has a part of the other sign"))
    if sum(parts_fen) != line.amount_fen:
        amounts.append((f"{path}amount_fen", f"is not {' + '.join(FEE_PARTS)}"))
    if amount_of(line.quantity_e4, line.unit_price_e6) != line.amount_fen:
        amounts.append((f"{path}amount_fen", "is not quantity_e4 * unit_price_e6, half up to the fen"))
    return form, amounts
