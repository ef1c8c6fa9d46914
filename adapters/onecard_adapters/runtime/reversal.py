"""What the runtime knows of undoing (rule 12): which answers promise that an original will never be executed, and by
which reversal a success is undone that the hub refused because it came too late.

The one module of the runtime that knows methods of a business; a further business adds its own here.
"""

from __future__ import annotations

from google.protobuf.message import Message as ProtoMessage

from onecard.medical.v1 import settlement_pb2
from onecard_protocol.identifiers import id_from_text, id_text


def promised_never(request: ProtoMessage, response: ProtoMessage) -> bytes | None:
    """Id of the original that this answer says was never executed and will not be; None if it promises nothing."""
    if isinstance(request, settlement_pb2.ReverseRequest) and isinstance(response, settlement_pb2.ReverseResponse):
        is_promised = response.result == settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED
        return id_from_text(request.original_id) if is_promised else None
    if isinstance(request, settlement_pb2.QuerySettlementRequest) and isinstance(
        response, settlement_pb2.QuerySettlementResponse
    ):
        is_promised = response.finding == settlement_pb2.SETTLEMENT_FINDING_NOT_FOUND
        return id_from_text(request.original_id) if is_promised else None
    return None


def reversal_of(original: ProtoMessage, original_id: bytes, method: str) -> ProtoMessage | None:
    """The input of the method's `reversing_method` that undoes this original; None where nothing undoes it."""
    if isinstance(original, settlement_pb2.SettleRequest):
        named: settlement_pb2.SettlementTerms | settlement_pb2.CancelSettlementRequest = original.terms
    elif isinstance(original, settlement_pb2.CancelSettlementRequest):
        named = original
    else:
        return None
    return settlement_pb2.ReverseRequest(
        person=original.person,
        insured_number=named.insured_number,
        original_id=id_text(original_id),
        original_method=method,
        original_local_transaction_id=named.local_transaction_id,
        encounter=named.encounter,
    )


def method_undone_by(reversal: ProtoMessage | None) -> str:
    """Full method name of the original that a reversal names; empty for anything else."""
    return reversal.original_method if isinstance(reversal, settlement_pb2.ReverseRequest) else ""
