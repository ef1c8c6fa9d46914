"""Which answers promise that an original will never be executed (rule 12), so that the runtime keeps the promise.

The one module of the runtime that knows methods of a business; a further business adds its answers here.
"""

from __future__ import annotations

from google.protobuf.message import Message as ProtoMessage

from onecard.medical.v1 import settlement_pb2
from onecard_protocol.identifiers import id_from_text


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
