"""Fee lines as a place of care split them, and what a core asks of them before it takes them."""

from collections.abc import Iterable
from dataclasses import dataclass

from onecard_stubs.policy import Fees


@dataclass(frozen=True, slots=True, kw_only=True)
class FeeLine:
    """A fee line, amounts in fen; a return line is negative and names the line of the same visit that it takes back."""

    line_id: str
    returned_line_id: str
    amount_fen: int
    full_self_pay_fen: int
    over_limit_fen: int
    preceding_fen: int
    in_scope_fen: int

    @property
    def is_sound(self) -> bool:
        """Whether the parts are the amount, and none of them has the other sign."""
        parts = (self.full_self_pay_fen, self.over_limit_fen, self.preceding_fen, self.in_scope_fen)
        sign = -1 if self.amount_fen < 0 else 1
        return sum(parts) == self.amount_fen and all(part * sign >= 0 for part in parts)


def fees_of(lines: Iterable[FeeLine]) -> Fees:
    """The sum of a visit's lines.

    Raises ValueError if a return names no line, if the returns of a line are together more than it, or if a part of the
    sum is negative.
    """
    held = tuple(lines)
    left_fen = {line.line_id: line.amount_fen for line in held}
    for line in held:
        if line.amount_fen < 0:
            left_fen[line.returned_line_id] = left_fen.get(line.returned_line_id, 0) + line.amount_fen
            if left_fen[line.returned_line_id] < 0:
                raise ValueError("returns outweigh what they return")
    return Fees(
        total_fen=sum(line.amount_fen for line in held),
        full_self_pay_fen=sum(line.full_self_pay_fen for line in held),
        over_limit_fen=sum(line.over_limit_fen for line in held),
        preceding_fen=sum(line.preceding_fen for line in held),
        in_scope_fen=sum(line.in_scope_fen for line in held),
    )
