"""What the hub itself says in one batch: signed together, however much it is."""

from __future__ import annotations

from onecard.exchange.v1 import message_pb2
from onecard_broker.exchange.batch import Batch, Draft
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB, new_message_id
from onecard_protocol.messages import MESSAGE_CONTEXT, build_header, trusted_message
from onecard_protocol.signatures.blocks import BlockVerifier
from tests.support.exchange import ENGINE, NETWORK, new_signer

QUERY = "/onecard.medical.v1.CoverageService/QueryCoverage"


def draft() -> Draft:
    """A notice of the hub to cn-44."""
    header = build_header(
        network=NETWORK,
        sender=HUB,
        recipient="cn-44",
        method=QUERY,
        kind=message_pb2.MESSAGE_KIND_NOTICE,
        message_id=new_message_id(1_790_000_000_000),
        payload=b"",
    )
    return Draft("cn-44", 3, trusted_message(header, b"", b""), "", 0, 0, True)


def test_more_than_one_signature_can_carry_is_signed_in_parts() -> None:
    """After a long outage many timers come due together, each with several messages."""
    signer = new_signer("hub-key")
    batch = Batch({}, network=NETWORK, partition_count=8)
    count = limits.BATCH_LEAF_COUNT_MAX * 2 + 1
    batch.drafts += [draft() for _ in range(count)]
    numbers = iter(range(1, count + 1))

    outputs = batch.outputs(signer, lambda recipient, partition: next(numbers))

    assert [output.number for output in outputs] == list(range(1, count + 1))
    blocks = [message_pb2.SignatureBlock.FromString(output.message.signature) for output in outputs]
    assert len({block.signature for block in blocks}) == 3
    verifier = BlockVerifier(ENGINE)
    assert all(
        verifier.verify(MESSAGE_CONTEXT, output.message.header_bytes, block, signer.public_key)
        for output, block in zip(outputs, blocks, strict=True)
    )
