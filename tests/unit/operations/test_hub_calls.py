"""The hub's own calls take the answer to this very request, signed by who may give it, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from typing import Any, cast

import grpc.aio
import pytest

from onecard.card.v1 import comparison_pb2
from onecard.card.v1.comparison_pb2_grpc import CardComparisonServiceStub
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.operations.hub_calls import HubCalls
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, to_rejection, to_status
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import MESSAGE_CONTEXT, build_header
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier, sign_one
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner
from onecard_protocol.signatures.sm3 import sm3
from tests.support.directories import NETWORK, country, directory_of, new_signer

METHOD = "/onecard.card.v1.CardComparisonService/ReadDigests"
SIGNERS = {participant: new_signer(f"{participant}-1") for participant in ("cn-00", "cn-42", "cn-43")}
DIRECTORY = directory_of(*country(SIGNERS))
REQUEST = comparison_pb2.ReadDigestsRequest(scope=comparison_pb2.COMPARISON_SCOPE_ISSUED, depth=1, prefixes=[""])
RESPONSE = comparison_pb2.ReadDigestsResponse(card_count=7)
REASON = errors_pb2.ErrorReason


@dataclasses.dataclass(slots=True, kw_only=True)
class Answer:
    """What comes back; a test changes what it is about."""

    payload: bytes = RESPONSE.SerializeToString()
    sender: str = "cn-42"
    recipient: str = "cn-00"
    network: str = NETWORK
    method: str = METHOD
    kind: message_pb2.MessageKind = message_pb2.MESSAGE_KIND_REPLY
    answers: bytes | None = None
    signer: EngineSigner = SIGNERS["cn-42"]
    sent_payload: bytes | None = None
    is_without_header: bool = False


class Call:
    """A gRPC call that ended well."""

    def __init__(self, payload: bytes, trailing: Any) -> None:
        self._payload = payload
        self._trailing = trailing

    def __await__(self) -> Generator[Any, None, bytes]:
        return self._ended().__await__()

    async def _ended(self) -> bytes:
        return self._payload

    async def trailing_metadata(self) -> Any:
        return self._trailing


class Failing:
    """A gRPC call that ended with an error."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self._error = error

    def __await__(self) -> Generator[Any, None, bytes]:
        return self._ended().__await__()

    async def _ended(self) -> bytes:
        raise self._error


class Channel:
    """A channel to a gateway that answers as the test says."""

    def __init__(self, answer: Callable[[dict[str, bytes]], Call | Failing]) -> None:
        self._answer = answer
        self.requests: list[tuple[bytes, dict[str, bytes]]] = []

    def unary_unary(self, method: str) -> Callable[..., Call | Failing]:
        assert method == METHOD

        def call(payload: bytes, *, timeout: float, metadata: Any) -> Call | Failing:
            self.requests.append((payload, dict(metadata)))
            return self._answer(dict(metadata))

        return call


def trailing_of(answer: Answer, asked: dict[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    request = message_pb2.MessageHeader.FromString(asked["onecard-header-bin"])
    header = build_header(
        network=answer.network,
        sender=answer.sender,
        recipient=answer.recipient,
        method=answer.method,
        kind=answer.kind,
        message_id=new_message_id(now_ms()),
        payload=answer.payload,
        reply_to=message_pb2.RequestReference(
            sender="cn-00", id=request.id, digest=answer.answers or sm3(asked["onecard-header-bin"])
        ),
    )
    signature = sign_one(answer.signer, MESSAGE_CONTEXT, header)
    trailing = (("onecard-header-bin", header), ("onecard-signature-bin", signature))
    return trailing[1:] if answer.is_without_header else trailing


def stub_of(channel: Channel) -> CardComparisonServiceStub:
    calls = HubCalls(
        cast(grpc.aio.Channel, channel),
        network=NETWORK,
        directory=DIRECTORY,
        methods=MethodRegistry.load(),
        signer=SIGNERS["cn-00"],
        verifier=BlockVerifier(native_engine()),
    )
    return CardComparisonServiceStub(calls.to("cn-42"))


async def ask(answer: Answer) -> comparison_pb2.ReadDigestsResponse:
    sent = answer.payload if answer.sent_payload is None else answer.sent_payload
    stub = stub_of(Channel(lambda asked: Call(sent, trailing_of(answer, asked))))
    response: comparison_pb2.ReadDigestsResponse = await stub.ReadDigests(REQUEST)
    return response


async def fail(code: grpc.StatusCode, trailing: Callable[[dict[str, bytes]], Any]) -> OneCardError:
    def answer(asked: dict[str, bytes]) -> Failing:
        metadata = grpc.aio.Metadata(*trailing(asked))
        return Failing(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), metadata, details=""))

    with pytest.raises(OneCardError) as failed:
        await stub_of(Channel(answer)).ReadDigests(REQUEST)
    return failed.value


async def test_the_request_is_signed_by_the_hub_and_its_answer_given() -> None:
    channel = Channel(lambda asked: Call(Answer().payload, trailing_of(Answer(), asked)))
    assert await stub_of(channel).ReadDigests(REQUEST) == RESPONSE
    ((payload, metadata),) = channel.requests
    header = message_pb2.MessageHeader.FromString(metadata["onecard-header-bin"])
    assert (header.sender, header.recipient, header.method) == ("cn-00", "cn-42", METHOD)
    assert header.payload_digest == sm3(payload)
    assert header.HasField("execute_before")
    block = message_pb2.SignatureBlock.FromString(metadata["onecard-signature-bin"])
    signer = SIGNERS["cn-00"]
    assert BlockVerifier(native_engine()).verify(
        MESSAGE_CONTEXT, metadata["onecard-header-bin"], block, signer.public_key
    )


async def test_the_hub_may_answer_in_the_provinces_place() -> None:
    assert await ask(Answer(sender="cn-00", signer=SIGNERS["cn-00"])) == RESPONSE


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(answers=bytes(32)), REASON.ERROR_REASON_HEADER_INVALID),
        (Answer(sender="cn-43", signer=SIGNERS["cn-43"]), REASON.ERROR_REASON_HEADER_INVALID),
        (Answer(recipient="cn-43"), REASON.ERROR_REASON_HEADER_INVALID),
        (Answer(network="test-other"), REASON.ERROR_REASON_HEADER_INVALID),
        (Answer(method=METHOD.replace("ReadDigests", "ReadCards")), REASON.ERROR_REASON_HEADER_INVALID),
        (Answer(kind=message_pb2.MESSAGE_KIND_NOTICE), REASON.ERROR_REASON_HEADER_INVALID),
        (Answer(signer=SIGNERS["cn-43"]), REASON.ERROR_REASON_KEY_UNKNOWN),
        (Answer(signer=new_signer("cn-42-1")), REASON.ERROR_REASON_SIGNATURE_INVALID),
        (Answer(sent_payload=b"\x10\x08"), REASON.ERROR_REASON_PAYLOAD_DIGEST_MISMATCH),
        (Answer(is_without_header=True), REASON.ERROR_REASON_OUTCOME_UNKNOWN),
    ],
)
async def test_what_is_not_the_answer_to_this_request_is_not_taken(answer: Answer, reason: int) -> None:
    with pytest.raises(OneCardError) as refused:
        await ask(answer)
    assert refused.value.reason == reason


async def test_a_signed_rejection_is_verified_and_told_with_its_reason() -> None:
    error = OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, "later")
    rejection = to_rejection(error).SerializeToString()

    def trailing(answer: Answer) -> Callable[[dict[str, bytes]], Any]:
        return lambda asked: (*trailing_of(answer, asked), ("onecard-rejection-bin", rejection))

    good = Answer(kind=message_pb2.MESSAGE_KIND_REJECTION, payload=rejection)
    told = await fail(grpc.StatusCode.UNAVAILABLE, trailing(good))
    assert (told.reason, told.detail) == (errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, "later")
    forged = dataclasses.replace(good, signer=new_signer("cn-42-1"))
    assert (
        await fail(grpc.StatusCode.UNAVAILABLE, trailing(forged))
    ).reason == errors_pb2.ERROR_REASON_SIGNATURE_INVALID


async def test_a_gateways_refusal_is_told_with_its_reason_and_silence_is_not_a_failure() -> None:
    status = to_status(OneCardError(errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE)).SerializeToString()
    refused = await fail(grpc.StatusCode.UNAVAILABLE, lambda _: ((STATUS_DETAILS_KEY, status),))
    assert refused.reason == errors_pb2.ERROR_REASON_RECIPIENT_OFFLINE
    unreachable = await fail(grpc.StatusCode.UNAVAILABLE, lambda _: ())
    assert unreachable.reason == errors_pb2.ERROR_REASON_HUB_NOT_READY
    silent = await fail(grpc.StatusCode.DEADLINE_EXCEEDED, lambda _: ())
    assert silent.reason == errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN
