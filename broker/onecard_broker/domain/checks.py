"""What admission asks of a payload's content, by business: the table of the packages that check their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from google.protobuf.message import Message as ProtoMessage

from onecard_broker.domain import card_checks, medical_checks
from onecard_protocol.methods import Method

_CHECKS: Final[Mapping[str, Callable[[ProtoMessage], None]]] = {
    "onecard.card.v1": card_checks.check_payload,
    "onecard.medical.v1": medical_checks.check_payload,
}


def check(method: Method, payload: ProtoMessage) -> None:
    """Check the content of a request, event or reply of a method; rejections and reports have nothing to check.

    Raises OneCardError: IDENTITY_INVALID, PAYLOAD_INVALID or AMOUNTS_INCONSISTENT, with the fields at fault and never
    their values.
    """
    checker = _CHECKS.get(method.package)
    if checker is not None and isinstance(payload, method.input_class | method.output_class):
        checker(payload)
