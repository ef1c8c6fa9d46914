"""Fee lines as a place of care split them, and what a core asks of them before it takes them."""

from collections.abc import Iterable, Mapping
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
    def parts(self) -> "Parts":
        """Wholly self-paid, over the limit, preceding self-pay, in scope."""
        return self.full_self_pay_fen, self.over_limit_fen, self.preceding_fen, self.in_scope_fen

    @property
    def is_sound(self) -> bool:
        """Whether the parts are the amount, and none of them has the other sign."""
        sign = -1 if self.amount_fen < 0 else 1
        return sum(self.parts) == self.amount_fen and all(part * sign >= 0 for part in self.parts)


Parts = tuple[int, int, int, int]


def fitted(parts: Parts, returned_line_id: str, held: Mapping[str, FeeLine]) -> Parts:
    """The parts of a line, of a return no more than is left of the line that it names.

    Pieces that are rounded each by itself are together some fen off the whole: those move to another part. A return of
    more than is left is given back as it is.
    """
    if sum(parts) >= 0 or returned_line_id not in held:
        return parts
    of_it = [line for line in held.values() if line.amount_fen < 0 and line.returned_line_id == returned_line_id]
    left = [sum(column) for column in zip(held[returned_line_id].parts, *(line.parts for line in of_it), strict=True)]
    taken = [min(-part, there) for part, there in zip(parts, left, strict=True)]
    missing = -sum(parts) - sum(taken)
    for index, there in enumerate(left):
        more = min(missing, there - taken[index])
        taken[index] += more
        missing -= more
    if missing:
        return parts
    full_self_pay, over_limit, preceding, in_scope = taken
    return -full_self_pay, -over_limit, -preceding, -in_scope


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
