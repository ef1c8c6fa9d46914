"""How many code systems of cards' local statuses one participant brings into the registry through a gateway.

The registry numbers each (system, version) for good, with two bytes, for all provinces together. A province has a few,
and a new version of one now and then; one that invents names would use the numbers up for everybody.
"""

from __future__ import annotations

from collections import defaultdict

from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import change_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError


class CodeSystems:
    """The code systems that each participant's admitted reports named since this gateway was started."""

    def __init__(self) -> None:
        self._named: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def check(self, sender: str, payload: ProtoMessage) -> None:
        """Raise PAYLOAD_INVALID for a report of a card that names one more than a participant may."""
        if not isinstance(payload, change_pb2.ReportSocialChangeRequest | change_pb2.ReportFinancialChangeRequest):
            return
        named, system = self._named[sender], (payload.local_status.system, payload.local_status.version)
        if system in named:
            return
        most = limits.CARD_CODE_SYSTEMS_PER_PARTICIPANT_COUNT_MAX
        if len(named) >= most:
            raise OneCardError(
                errors_pb2.ERROR_REASON_PAYLOAD_INVALID,
                violations=[("local_status.system", f"with its version is new; a participant may name {most}")],
            )
        named.add(system)
