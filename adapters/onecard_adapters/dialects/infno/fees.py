"""Which fee lines an encounter holds, derived from the uploads and withdrawals that the adapter carried out.

The transactions in the adapter's memory are the record; nothing is summed up beside them, so a repeated upload counts
once and a crash between two writes leaves no wrong total.
"""

import functools
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from onecard.medical.v1.encounter_pb2 import FeeLine
from onecard.medical.v1.values_pb2 import FeeTotals
from onecard_adapters.dialects.in_part import DONE, is_between
from onecard_adapters.dialects.infno import trades
from onecard_adapters.runtime.memory import EdgeMemory, Transaction
from onecard_protocol.value_class import value_class

EVERYTHING: Final = "*"
_LINES: Final = "lines"
_WITHDRAWN: Final = "withdrawn"
_UPLOADS_MAX: Final = 256
"""Of at most 100 lines each; more are read anew."""


@value_class(frozen=True, slots=True, kw_only=True)
class HeldLine:
    """The amounts of one line, in fen, and the batch (chrg_bchno) it came in."""

    total_fen: int
    full_self_pay_fen: int
    over_limit_fen: int
    preceding_fen: int
    in_scope_fen: int
    batch: str


def upload_attributes(lines: Iterable[FeeLine], batches: Mapping[str, str]) -> dict[str, str]:
    """What to remember of an upload that was carried out."""
    held = {
        line.line_id: [
            line.amount_fen,
            line.full_self_pay_fen,
            line.over_limit_self_pay_fen,
            line.preceding_self_pay_fen,
            line.in_scope_fen,
            batches.get(line.line_id, ""),
        ]
        for line in lines
    }
    return {_LINES: json.dumps(held), DONE: "1"}


def withdrawal_attributes(line_ids: Iterable[str] | None) -> dict[str, str]:
    """What to remember of a withdrawal that was carried out; None withdraws everything."""
    return {**lines_to_withdraw(line_ids), DONE: "1"}


def lines_to_withdraw(line_ids: Iterable[str] | None) -> dict[str, str]:
    """What to remember of a withdrawal before it is carried out: afterwards the lines are not found any more."""
    return {_WITHDRAWN: EVERYTHING if line_ids is None else json.dumps(list(line_ids))}


def remembered_lines(withdrawal: Transaction) -> list[str] | None:
    """The lines of `lines_to_withdraw`; KeyError if they were not remembered."""
    lines = withdrawal.attributes[_WITHDRAWN]
    return None if lines == EVERYTHING else json.loads(lines)


class FeeLedger:
    """Reads the lines of encounters."""

    def __init__(self, memory: EdgeMemory) -> None:
        self._memory = memory

    def is_overtaken(self, withdrawal: Transaction, before: Transaction | None = None) -> bool:
        """Whether lines that this withdrawal took back, or any if it took back all, were uploaded again since.

        With `before`, whether they were until that other request came.
        """
        uploads = self._memory.find_transactions_of_encounter(withdrawal.encounter_id, trades.UPLOAD_FEE_LINES)
        since = {
            line_id
            for upload in uploads
            if is_between(withdrawal, upload, before) and DONE in upload.attributes
            for line_id in json.loads(upload.attributes[_LINES])
        }
        withdrawn = withdrawal.attributes.get(_WITHDRAWN, EVERYTHING)
        return bool(since) if withdrawn == EVERYTHING else not since.isdisjoint(json.loads(withdrawn))

    def is_superseded(self, upload: Transaction, line_ids: Collection[str]) -> bool:
        """Whether lines of this upload were taken back, or uploaded again, by what came later and was carried out."""
        return any(
            is_between(upload, item, None) and DONE in item.attributes and _concerns(item, line_ids)
            for item in self._memory.find_transactions_of_encounter(
                upload.encounter_id, trades.UPLOAD_FEE_LINES, trades.WITHDRAW_FEE_LINES
            )
        )

    def held(self, encounter_id: str) -> dict[str, HeldLine]:
        """The lines of an encounter by their id, withdrawn ones left out."""
        lines: dict[str, HeldLine] = {}
        # Message ids begin with their time, and one encounter's trades are carried out one after the other.
        for transaction in self._memory.find_transactions_of_encounter(
            encounter_id, trades.UPLOAD_FEE_LINES, trades.WITHDRAW_FEE_LINES
        ):
            attributes = transaction.attributes
            if DONE not in attributes:
                continue
            if _LINES in attributes:
                lines.update(_lines_in(attributes[_LINES]))
            elif attributes.get(_WITHDRAWN) == EVERYTHING:
                lines.clear()
            elif _WITHDRAWN in attributes:
                for line_id in json.loads(attributes[_WITHDRAWN]):
                    lines.pop(line_id, None)
        return lines


def _concerns(transaction: Transaction, line_ids: Collection[str]) -> bool:
    attributes = transaction.attributes
    if attributes.get(_WITHDRAWN) == EVERYTHING:
        return True
    named = json.loads(attributes.get(_LINES) or attributes.get(_WITHDRAWN, "[]"))
    return not set(line_ids).isdisjoint(named)


@functools.lru_cache(_UPLOADS_MAX)
def _lines_in(text: str) -> Mapping[str, HeldLine]:
    """The lines of one upload; every settlement trade of a visit reads them."""
    return {
        line_id: HeldLine(
            total_fen=total,
            full_self_pay_fen=full,
            over_limit_fen=over,
            preceding_fen=preceding,
            in_scope_fen=scope,
            batch=batch,
        )
        for line_id, (total, full, over, preceding, scope, batch) in json.loads(text).items()
    }


def totals_of(lines: Iterable[HeldLine]) -> FeeTotals:
    """The sum of lines; return lines are negative and count as such."""
    # In integers first: each field of a message that is read or set is a call.
    total = full = over = preceding = scope = 0
    for line in lines:
        total += line.total_fen
        full += line.full_self_pay_fen
        over += line.over_limit_fen
        preceding += line.preceding_fen
        scope += line.in_scope_fen
    return FeeTotals(
        total_fen=total,
        full_self_pay_fen=full,
        over_limit_self_pay_fen=over,
        preceding_self_pay_fen=preceding,
        in_scope_fen=scope,
    )
