"""What is addressed to the hub is taken from it only where it is an event that the hub publishes."""

from __future__ import annotations

from typing import cast

import pytest

from onecard.exchange.v1 import message_pb2
from onecard_adapters.sdk.directory import DirectoryKey, DirectoryView
from onecard_adapters.sdk.verification import Verification
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import from_wire
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier
from onecard_protocol.signatures.engine import native_engine
from tests.support.card_reports import LINK_NUMBER, REPORT_FINANCIAL, REPORT_SOCIAL, financial_report, social_report
from tests.support.directories import NETWORK, new_signer
from tests.support.messages import REPORT_FILING, filing_report, make_signed

NOW_MS = 1_780_000_000_000
SIGNER = new_signer("cn-11-1")


class Keys:
    """A directory of one key."""

    def key(self, key_id: str) -> DirectoryKey:
        assert key_id == SIGNER.key_id
        return DirectoryKey(participant="cn-11", public_key=SIGNER.public_key)


async def outcome(payload: object, method: str, *, kind: message_pb2.MessageKind, recipient: str = "cn-00") -> str:
    verification = Verification(
        cast(DirectoryView, Keys()),
        BlockVerifier(native_engine()),
        network=NETWORK,
        participant="cn-45",
        methods=MethodRegistry.load(),
    )
    reply_to = None
    if kind == message_pb2.MESSAGE_KIND_REPLY:
        reply_to = message_pb2.RequestReference(
            sender="cn-00", id=new_message_id(NOW_MS), digest=bytes(32), log_epoch="e", partition=1
        )
    signed = make_signed(
        SIGNER,
        payload,  # type: ignore[arg-type]
        now_ms=NOW_MS,
        sender="cn-11",
        recipient=recipient,
        method=method,
        kind=kind,
        reply_to=reply_to,
    )
    try:
        await verification.check(from_wire(signed))
    except OneCardError as error:
        return reason_name(error.reason)
    finally:
        verification.close()
    return "taken"


EVENT, REQUEST = message_pb2.MESSAGE_KIND_EVENT, message_pb2.MESSAGE_KIND_REQUEST


@pytest.mark.parametrize(
    ("method", "payload"), [(REPORT_SOCIAL, social_report()), (REPORT_FINANCIAL, financial_report())]
)
async def test_a_published_event_to_the_hub_is_taken(method: str, payload: object) -> None:
    assert await outcome(payload, method, kind=EVENT) == "taken"


async def test_nothing_else_to_the_hub_is_taken() -> None:
    assert await outcome(social_report(), REPORT_SOCIAL, kind=REQUEST) == "RECIPIENT_NOT_ALLOWED"
    assert await outcome(filing_report(), REPORT_FILING, kind=EVENT) == "RECIPIENT_NOT_ALLOWED"
    assert await outcome(b"", LINK_NUMBER, kind=REQUEST) == "RECIPIENT_NOT_ALLOWED"
    assert await outcome(b"", LINK_NUMBER, kind=message_pb2.MESSAGE_KIND_REPLY) == "RECIPIENT_NOT_ALLOWED"
    assert await outcome(b"", "/onecard.unknown.v1.A/B", kind=EVENT) == "RECIPIENT_NOT_ALLOWED"


async def test_a_published_event_to_another_participant_is_not_taken() -> None:
    assert await outcome(social_report(), REPORT_SOCIAL, kind=EVENT, recipient="cn-51") == "RECIPIENT_NOT_ALLOWED"
