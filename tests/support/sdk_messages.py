"""Messages between the fake hub and adapters: a settlement, the hub's late refusal, and what came of them."""

from __future__ import annotations

from pathlib import Path

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_adapters.sdk.outgoing import Writer
from onecard_protocol.messages import MESSAGE_CONTEXT, Message
from onecard_protocol.signatures.blocks import sign_one
from onecard_protocol.signatures.signer import Signer
from tests.support.fake_hub import METHODS, NETWORK, FakeHub
from tests.support.sdk_country import SETTLE, Country, settle_request

LATE = errors_pb2.ERROR_REASON_LATE_SUCCESS_REFUSED


def settlement(
    one: Country,
    invoice: str,
    *,
    serial: int = 1,
    signer: Signer | None = None,
    message_id: bytes | None = None,
    network: str = NETWORK,
) -> message_pb2.SignedMessage:
    """A settlement from cn-44 to cn-51."""
    request = settle_request(serial, invoice)
    sealer = one.exchange("cn-44").sealer
    writer = Writer(network=network, participant="cn-44", sealer=sealer, now_ms=one.hub.now_ms)
    payload = request.SerializeToString()
    outgoing = writer.request(METHODS[SETTLE], "cn-51", request, payload, message_id=message_id)
    block = sign_one(signer or one.hub.signers["cn-44"], MESSAGE_CONTEXT, outgoing.header)
    return message_pb2.SignedMessage(header=outgoing.header, payload=payload, signature=block)


def reports(hub: FakeHub) -> list[message_pb2.DeliveryReport]:
    """What adapters gave up on."""
    return [message_pb2.DeliveryReport.FromString(message.payload) for message in hub.reports]


def replies(hub: FakeHub) -> list[Message]:
    """The replies in the journal."""
    return [message for message in hub.journal if message.header.kind == message_pb2.MESSAGE_KIND_REPLY]


def report_reasons(hub: FakeHub) -> list[int]:
    """The reasons of all reports."""
    return [report.reason for report in reports(hub)]


def refusal(hub: FakeHub, answer: Message, reason: int = LATE) -> message_pb2.SignedMessage:
    """The hub's signed refusal of a province's answer."""
    return hub.say(answer, message_pb2.MESSAGE_KIND_REJECTION, message_pb2.Rejection(reason=reason))  # type: ignore[arg-type]


def refuse(hub: FakeHub, answer: Message, reason: int = LATE) -> message_pb2.SignedMessage:
    """Deliver a refusal; each call makes another message."""
    signed = refusal(hub, answer, reason)
    hub.deliver(answer.header.sender, signed, hub.known[answer.key].partition)
    return signed


def stores(directory: Path) -> list[Path]:
    """Stores with their write-ahead logs."""
    return [path for path in directory.iterdir() if "sqlite" in path.name]
