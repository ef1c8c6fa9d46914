"""The four parts of a fee, as the place of care's core classifies it (domain.md, 1.2): together they are the fee."""

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.encounter_pb2 import FeeLine
from onecard.medical.v1.values_pb2 import SettlementSplit
from onecard_protocol.errors import OneCardError


def parts_fen(fee: FeeLine | SettlementSplit) -> int:
    """The sum of the parts."""
    return fee.full_self_pay_fen + fee.over_limit_self_pay_fen + fee.preceding_self_pay_fen + fee.in_scope_fen


def require_whole(line: FeeLine, sent_fen: int, at: str) -> None:
    """Raises AMOUNTS_INCONSISTENT unless the core answered a line with the amount sent and with parts that add up."""
    parts = parts_fen(line)
    if not sent_fen == line.amount_fen == parts:
        raise OneCardError(
            errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT,
            f"{at}: sent {sent_fen} fen, split as {line.amount_fen} fen with parts of {parts} fen",
        )
