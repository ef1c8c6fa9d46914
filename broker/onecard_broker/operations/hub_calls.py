"""The hub's own calls: a signed message through its own door, as any participant's (rule 17).

What an operator's command asks of a province is journaled, delivered and answered like all else, so it is proved like
all else. Keeps nothing: a call that has no answer is asked again by its caller, as a message of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import grpc
import grpc.aio
from cryptography import x509
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage
from google.rpc import status_pb2

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.directory.model import Directory, KeyStatus
from onecard_broker.gateway.typed_calls import HEADER_KEY, REJECTION_KEY, SIGNATURE_KEY
from onecard_broker.settings import TlsSettings
from onecard_protocol import limits
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import STATUS_DETAILS_KEY, OneCardError, from_rejection, from_status
from onecard_protocol.identifiers import HUB, new_message_id
from onecard_protocol.messages import MESSAGE_CONTEXT, Message, build_header, parse_message
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier, sign_one
from onecard_protocol.signatures.signer import Signer
from onecard_protocol.signatures.sm3 import sm3
from onecard_protocol.tls_files import read_tls_files

_TIMEOUT_S: Final = limits.ADAPTER_ANSWER_MS / 1000
_METADATA_BYTES_MAX: Final = 4 * limits.CALL_METADATA_BYTES_MAX


def open_channel(address: str, tls: TlsSettings, *, server_name: str = "") -> grpc.aio.Channel:
    """A channel to one of the hub's gateways with the hub's certificate; the gateway bears the same name, or another.

    Raises OneCardError CONFIGURATION_INVALID (`read_tls_files`), also if the certificate bears no DNS name.
    """
    certificate, private_key, authority = read_tls_files(
        certificate=tls.certificate_file, private_key=tls.private_key_file, authority=tls.client_authority_file
    )
    names = (
        x509.load_pem_x509_certificate(certificate)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value.get_values_for_type(x509.DNSName)
    )
    if not names:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            "the hub's certificate bears no DNS name / 枢纽证书中没有 DNS 名称",
        )
    credentials = grpc.ssl_channel_credentials(
        root_certificates=authority + b"\n" + certificate,
        private_key=private_key,
        certificate_chain=certificate,
    )
    options = (
        ("grpc.ssl_target_name_override", server_name or names[0]),
        ("grpc.max_metadata_size", _METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES_MAX),
        ("grpc.enable_retries", 0),
    )
    return grpc.aio.secure_channel(address, credentials, options=options)


class HubCalls:
    """Calls over one channel; `to` gives what generated stubs take."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        network: str,
        directory: Directory,
        methods: MethodRegistry,
        signer: Signer,
        verifier: BlockVerifier,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        """The channel stays the caller's to close; keys are judged by the directory as it was given."""
        self._channel = channel
        self._network = network
        self._directory = directory
        self._methods = methods
        self._signer = signer
        self._verifier = verifier
        self._clock_ms = clock_ms

    def to(self, recipient: str) -> grpc.aio.Channel:
        """A channel of which stubs use `unary_unary` only. Their calls raise OneCardError.

        With the reason of the refusal or signed rejection; OUTCOME_UNKNOWN where none of them came; as `parse_message`
        or HEADER_INVALID, KEY_UNKNOWN, SIGNATURE_INVALID where the answer is not one.
        """
        return cast(grpc.aio.Channel, _Recipient(self.call, recipient))

    async def call(self, method_name: str, recipient: str, payload: bytes) -> bytes:
        """The payload of the verified reply."""
        method = self._methods[method_name]
        created_ms = self._clock_ms()
        header = build_header(
            network=self._network,
            sender=HUB,
            recipient=recipient,
            method=method_name,
            kind=message_pb2.MESSAGE_KIND_REQUEST,
            message_id=new_message_id(created_ms),
            payload=payload,
            execute_before_ms=created_ms + method.policy.longest_duration_ms if method.carries_execute_before else None,
        )
        metadata = ((HEADER_KEY, header), (SIGNATURE_KEY, sign_one(self._signer, MESSAGE_CONTEXT, header)))
        raw: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method_name)
        call = raw(payload, timeout=_TIMEOUT_S, metadata=metadata)
        try:
            answer = _answer(await call, await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            refusal = _refusal(error)
            if refusal is not None:
                raise refusal from None
            answer = _answer(b"", error.trailing_metadata() or (), REJECTION_KEY)
        self._check(header, recipient, method_name, answer)
        if answer.header.kind == message_pb2.MESSAGE_KIND_REPLY:
            return answer.payload
        raise from_rejection(message_pb2.Rejection.FromString(answer.payload))

    def _check(self, request_header: bytes, recipient: str, method: str, answer: Message) -> None:
        header = answer.header
        if (
            header.reply_to.digest != sm3(request_header)
            or header.sender not in {recipient, HUB}
            or (header.network, header.recipient, header.method) != (self._network, HUB, method)
            or header.kind not in {message_pb2.MESSAGE_KIND_REPLY, message_pb2.MESSAGE_KIND_REJECTION}
        ):
            raise OneCardError(errors_pb2.ERROR_REASON_HEADER_INVALID, "the answer is not one to this request")
        try:
            block = message_pb2.SignatureBlock.FromString(answer.signature)
        except DecodeError:
            raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID, "no SignatureBlock") from None
        key = self._directory.key_for(block.key_id)
        if key is None or key.participant != header.sender or key.status(answer.created_ms) is not KeyStatus.OK:
            raise OneCardError(errors_pb2.ERROR_REASON_KEY_UNKNOWN, f"key id {block.key_id!r} of {header.sender}")
        if not self._verifier.verify(MESSAGE_CONTEXT, answer.header_bytes, block, key.public_key):
            raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID, "the answer")


class _Recipient:
    """As much of a channel as generated stubs use."""

    def __init__(self, call: Callable[[str, str, bytes], Awaitable[bytes]], recipient: str) -> None:
        self._call = call
        self._recipient = recipient

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
        _registered_method: bool = False,
    ) -> Callable[[ProtoMessage], Awaitable[Any]]:
        """The method as an awaitable callable."""

        async def call(request: ProtoMessage) -> Any:
            return response_deserializer(await self._call(method, self._recipient, request_serializer(request)))

        return call


def _answer(payload: bytes, trailing: Any, payload_key: str = "") -> Message:
    found = {key: value for key, value in trailing if isinstance(value, bytes)}
    if HEADER_KEY not in found or SIGNATURE_KEY not in found:
        raise OneCardError(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, "the gateway ended the call without an answer")
    return parse_message(found[HEADER_KEY], found.get(payload_key, payload), found[SIGNATURE_KEY])


def _refusal(error: grpc.aio.AioRpcError) -> OneCardError | None:
    """What the gateway says; None where the trailing metadata bring a signed rejection, which says the same."""
    trailing = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, bytes)}
    if REJECTION_KEY in trailing:
        return None
    if STATUS_DETAILS_KEY in trailing:
        return from_status(status_pb2.Status.FromString(trailing[STATUS_DETAILS_KEY]))
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY, f"the gateway cannot be reached: {error.details()}")
    return OneCardError(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, f"the call ended with {error.code().name}")
