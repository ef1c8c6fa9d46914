"""Submitting messages to a gateway and asking it for their outcomes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from pathlib import Path

import grpc
import grpc.aio
import pytest

from onecard.exchange.v1 import message_pb2, service_pb2, service_pb2_grpc
from onecard_broker.admission.rules import check_form
from onecard_broker.gateway import answers_due
from onecard_broker.log.embedded import EmbeddedLog
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.messages import MESSAGE_CONTEXT, RECEIPT_CONTEXT, from_wire, parse_message
from onecard_protocol.signatures.blocks import BlockVerifier, sign_batch
from onecard_protocol.signatures.engine import native_engine
from tests.support.bad_messages import RefusalSigners, refusal_records, refusals, wrong_digit
from tests.support.certificates import Authority
from tests.support.directories import certificate_name, country, revoke_key
from tests.support.gateway import (
    Hub,
    change_directory,
    eventually,
    reasons,
    refusal_of,
    running_hub,
)
from tests.support.messages import (
    covered,
    make_event,
    make_request,
    person,
)

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(postgres_dsn, tmp_path) as running:
        yield running


# ---- submitting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gathering_ms", [0, 43])
async def test_who_submits_is_told_how_long_the_journal_gathers(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, gathering_ms: int
) -> None:
    if gathering_ms:
        monkeypatch.setattr(EmbeddedLog, "gathering_s", (gathering_ms - 0.5) / 1_000)
    request = service_pb2.SubmitBatchRequest(messages=[make_event(hub.signers["cn-51"], now_ms())])

    async with hub.channel("cn-51") as channel:
        response = await service_pb2_grpc.SubmissionServiceStub(channel).SubmitBatch(request)

    assert response.gathering_ms == gathering_ms
    assert [result.WhichOneof("result") for result in response.results] == ["receipt"]


@pytest.mark.parametrize("gathering_s", [0.0, 0.05])
async def test_who_answers_promptly_is_waited_for_and_told_so(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, gathering_s: float
) -> None:
    coming: list[Hashable] = []
    came: list[Hashable] = []

    def note_coming(log: EmbeddedLog, what: Hashable, *, within_s: float | None = None) -> None:
        if within_s is not None:
            coming.append(what)

    monkeypatch.setattr(EmbeddedLog, "gathering_s", gathering_s)
    monkeypatch.setattr(EmbeddedLog, "coming", note_coming)
    monkeypatch.setattr(EmbeddedLog, "came", lambda log, what: came.append(what))
    monkeypatch.setattr(answers_due, "PROMPT_S_MAX", 60.0)
    requests = [make_request(hub.signers["cn-44"], now_ms()) for _ in range(2)]
    asked = [("cn-51", parse_message(one.header, one.payload, one.signature).header.id) for one in requests]
    async with hub.receiver("cn-51") as insured, hub.receiver("cn-44") as care:
        insured.answer = covered
        for count, request in enumerate(requests, 1):
            assert reasons(await hub.submit("cn-44", request)) == ["RECEIPT"]
            await care.messages(count)
    assert coming == asked[1:], "nothing was known of it at first"
    assert [what for what in came if what in asked] == asked

    for participant, recipient in (("cn-51", "cn-44"), ("cn-44", "cn-51")):
        event = make_event(hub.signers[participant], now_ms(), sender=participant, recipient=recipient)
        async with hub.channel(participant) as channel:
            response = await service_pb2_grpc.SubmissionServiceStub(channel).SubmitBatch(
                service_pb2.SubmitBatchRequest(messages=[event])
            )
        assert response.holding_ms == (15 if gathering_s and participant == "cn-51" else 0)


async def test_each_message_of_a_batch_gets_its_own_receipt_or_refusal(hub: Hub) -> None:
    signer = hub.signers["cn-51"]
    good = [make_event(signer, now_ms(), serial=serial) for serial in range(3)]
    forged = make_event(signer, now_ms())
    forged.signature = good[0].signature
    foreign = make_event(hub.signers["cn-44"], now_ms(), sender="cn-44", recipient="cn-51")

    results = await hub.submit("cn-51", good[0], forged, good[1], foreign, nothing(), good[2])

    assert reasons(results) == [
        "RECEIPT",
        "SIGNATURE_INVALID",
        "RECEIPT",
        "CERTIFICATE_MISMATCH",
        "MALFORMED",
        "RECEIPT",
    ]
    verifier = BlockVerifier(native_engine())
    for index, signed in ((0, good[0]), (2, good[1]), (5, good[2])):
        receipt = message_pb2.Receipt.FromString(results[index].receipt.receipt)
        assert receipt.digest == from_wire(signed).digest
        assert verifier.verify(
            RECEIPT_CONTEXT,
            results[index].receipt.receipt,
            message_pb2.SignatureBlock.FromString(results[index].receipt.signature),
            hub.signers["cn-00"].public_key,
        )


def nothing() -> message_pb2.SignedMessage:
    return message_pb2.SignedMessage(header=b"\xff")


async def test_the_receipts_of_one_batch_share_one_signature_each_with_its_proof(hub: Hub) -> None:
    events = [make_event(hub.signers["cn-51"], now_ms(), serial=serial) for serial in range(100)]
    results = await hub.submit("cn-51", *events)

    receipts = [result.receipt for result in results]
    blocks = [message_pb2.SignatureBlock.FromString(receipt.signature) for receipt in receipts]
    assert len({block.signature for block in blocks}) == 1
    assert len({block.SerializeToString() for block in blocks}) == 100
    public_key = hub.signers["cn-00"].public_key
    for receipt, block, neighbour in zip(receipts, blocks, blocks[1:] + blocks[:1], strict=True):
        # Each by a verifier of its own, which remembers no root.
        assert BlockVerifier(native_engine()).verify(RECEIPT_CONTEXT, receipt.receipt, block, public_key)
        assert not BlockVerifier(native_engine()).verify(RECEIPT_CONTEXT, receipt.receipt, neighbour, public_key)


async def test_a_batch_signed_as_a_whole_is_admitted_and_delivered_message_by_message(hub: Hub) -> None:
    signer = hub.signers["cn-51"]
    events = [make_event(signer, now_ms(), serial=serial) for serial in range(100)]
    for event, block in zip(
        events, sign_batch(signer, MESSAGE_CONTEXT, [event.header for event in events]), strict=True
    ):
        event.signature = block

    results = await hub.submit("cn-51", *events)
    async with hub.receiver("cn-44", credit_count=1_000) as receiver:
        received = await receiver.messages(100)

    assert reasons(results) == ["RECEIPT"] * 100
    assert {message.header_bytes for message in received} == {event.header for event in events}
    verifier = BlockVerifier(native_engine())
    for message in received:
        own_block = message_pb2.SignatureBlock.FromString(message.signature)
        assert verifier.verify(MESSAGE_CONTEXT, message.header_bytes, own_block, signer.public_key)


async def test_every_refusal_leaves_a_trace_and_disturbs_nothing_behind_it(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    """The whole list of bad input in one batch, and behind each a good message, which is admitted and delivered."""
    signers = RefusalSigners(hub.signers["cn-44"], hub.signers["cn-51"])
    records = refusal_records(signers, now_ms())
    await change_directory(hub, *records)
    await eventually(lambda: hub.gateways[0].directory.version == len(country(hub.signers)) + len(records))
    caplog.set_level(logging.DEBUG)
    async with hub.receiver("cn-51", credit_count=1_000) as insured:
        await eventually(lambda: insured.ticks)
        bad = refusals(signers, now_ms(), future_ms=600_000)
        good = [make_request(signers.care, now_ms(), serial=serial) for serial in range(len(bad))]
        pairs = [one for (_, wrong), right in zip(bad.values(), good, strict=True) for one in (wrong, right)]
        results = reasons(await hub.submit("cn-44", *pairs))
        received = await insured.messages(len(good))

    assert dict(zip(bad, results[::2], strict=True)) == {what: reason for what, (reason, _) in bad.items()}
    assert set(results[1::2]) == {"RECEIPT"}
    assert {message.header_bytes for message in received} == {one.header for one in good}
    traces = Counter(record.getMessage() for record in caplog.records if record.getMessage().startswith("refused "))
    assert sum(traces.values()) == len(bad)
    for what, (reason, signed) in bad.items():
        begins = f"refused {reason}: {origin_of(signed)} over 127.0.0.1, {certificate_name('cn-44')}: "
        trace = next((text for text in traces if traces[text] and text.startswith(begins)), None)
        assert trace is not None, what
        traces[trace] -= 1
    for number in (person().number, wrong_digit().person.number):
        assert number not in caplog.text


def origin_of(signed: message_pb2.SignedMessage) -> str:
    """What a trace can tell of a message: nothing, if its form is wrong."""
    try:
        header = check_form(signed.header, signed.payload, signed.signature).header
    except OneCardError:
        return "a message id unknown"
    return f"{header.sender} {header.method} id {header.id.hex()}"


async def test_too_many_messages_in_a_batch_are_refused(hub: Hub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await hub.submit("cn-51", *[nothing()] * (limits.SUBMIT_BATCH_COUNT_MAX + 1))

    assert reason_name(refusal_of(raised.value).reason) == "MALFORMED"


async def test_a_certificate_of_nobody_submits_nothing(hub: Hub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await hub.submit("cn-65", nothing())

    assert reason_name(refusal_of(raised.value).reason) == "CERTIFICATE_MISMATCH"


async def test_a_certificate_of_another_authority_connects_to_nothing(hub: Hub, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "other").issue(certificate_name("cn-44"))
    credentials = grpc.ssl_channel_credentials(
        root_certificates=hub.authority.certificate_file.read_bytes(),
        private_key=stranger.private_key_file.read_bytes(),
        certificate_chain=stranger.certificate_file.read_bytes(),
    )
    async with grpc.aio.secure_channel(f"127.0.0.1:{hub.gateways[0].port}", credentials) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await service_pb2_grpc.SubmissionServiceStub(channel).SubmitBatch(
                service_pb2.SubmitBatchRequest(), timeout=10
            )

    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_revoked_key_is_refused_although_its_batch_was_verified_before(hub: Hub) -> None:
    signer = hub.signers["cn-51"]
    events = [make_event(signer, now_ms(), serial=serial) for serial in range(2)]
    for event, block in zip(
        events, sign_batch(signer, MESSAGE_CONTEXT, [event.header for event in events]), strict=True
    ):
        event.signature = block
    assert reasons(await hub.submit("cn-51", events[0])) == ["RECEIPT"]

    await change_directory(hub, revoke_key("cn-51-1", now_ms()))
    await eventually(lambda: "cn-51-1" in hub.gateways[0].directory.revocations)

    assert reasons(await hub.submit("cn-51", events[1])) == ["KEY_REVOKED"]


# ---- asking --------------------------------------------------------------------------------------------------------


async def ask(hub: Hub, participant: str, original: message_pb2.SignedMessage) -> message_pb2.OutcomeReport:
    async with hub.channel(participant) as channel:
        response = await service_pb2_grpc.SubmissionServiceStub(channel).GetOutcome(
            service_pb2.GetOutcomeRequest(original=original), timeout=20
        )
    report = from_wire(response.report)
    assert report.header.sender == "cn-00"
    assert report.header.reply_to.digest == from_wire(original).digest
    return message_pb2.OutcomeReport.FromString(report.payload)


async def test_asking_about_a_message_never_seen_closes_it(hub: Hub) -> None:
    event = make_event(hub.signers["cn-51"], now_ms())

    report = await ask(hub, "cn-51", event)
    await hub.submit("cn-51", event)
    async with hub.receiver("cn-51") as receiver:
        messages = await receiver.messages(2)

    assert report.state == message_pb2.OUTCOME_STATE_NEVER_SEEN
    rejection = message_pb2.Rejection.FromString(messages[1].payload)
    assert reason_name(rejection.reason) == "OUTCOME_ALREADY_TOLD"


async def test_asking_about_an_open_request_says_open(hub: Hub) -> None:
    request = make_request(hub.signers["cn-44"], now_ms())
    async with hub.receiver("cn-51") as insured:
        assert reasons(await hub.submit("cn-44", request)) == ["RECEIPT"]
        await insured.messages(1)

        report = await ask(hub, "cn-44", request)

    assert report.state == message_pb2.OUTCOME_STATE_OPEN


@pytest.mark.parametrize(
    ("asker", "change", "reason"),
    [
        ("cn-33", lambda _: None, "CERTIFICATE_MISMATCH"),
        ("cn-51", lambda event: setattr(event, "payload", b""), "PAYLOAD_DIGEST_MISMATCH"),
        ("cn-51", lambda event: setattr(event, "signature", b""), "SIGNATURE_MISSING"),
    ],
)
async def test_a_question_by_another_or_about_other_bytes_is_refused(
    hub: Hub, asker: str, change: Callable[[message_pb2.SignedMessage], None], reason: str
) -> None:
    event = make_event(hub.signers["cn-51"], now_ms())
    change(event)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(hub, asker, event)

    assert reason_name(refusal_of(raised.value).reason) == reason


async def test_outcomes_older_than_seven_days_are_told_no_more(hub: Hub) -> None:
    event = make_event(hub.signers["cn-51"], now_ms() - limits.MESSAGE_AGE_MS_MAX - 1_000)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(hub, "cn-51", event)

    assert reason_name(refusal_of(raised.value).reason) == "TOO_OLD_TO_TELL"
