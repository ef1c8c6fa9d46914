"""Making our own messages: header bytes are fixed here and never made again (rule 1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import message_pb2
from onecard_adapters.runtime.outbox import Outgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB, message_time_ms, new_message_id
from onecard_protocol.identity import normalise_identity
from onecard_protocol.messages import Message, build_header, trusted_message
from onecard_protocol.methods import Method


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Makes messages of one participant in one network."""

    network: str
    participant: str
    sealer: Sealer
    now_ms: Callable[[], int]

    def request(
        self,
        method: Method,
        recipient: str,
        request: ProtoMessage,
        payload: bytes,
        *,
        message_id: bytes | None = None,
        traceparent: str = "",
    ) -> Outgoing:
        """A request or event, as the method says, of a payload serialised once; created at the id's time, if given."""
        kind = message_pb2.MESSAGE_KIND_EVENT if method.is_event else message_pb2.MESSAGE_KIND_REQUEST
        chosen = new_message_id(self.now_ms()) if message_id is None else message_id
        execute_before_ms = (
            message_time_ms(chosen) + method.policy.longest_duration_ms if method.carries_execute_before else None
        )
        header = build_header(
            network=self.network,
            sender=self.participant,
            recipient=recipient,
            method=method.name,
            kind=kind,
            message_id=chosen,
            payload=payload,
            execute_before_ms=execute_before_ms,
            traceparent=traceparent,
        )
        return Outgoing(
            id=chosen,
            recipient=recipient,
            method=method.name,
            kind=kind,
            header=header,
            payload=payload,
            subject=self.subject_of(method, request, self.participant, chosen),
            execute_before_ms=execute_before_ms,
        )

    def answer(
        self,
        kind: message_pb2.MessageKind,
        payload: bytes,
        *,
        method: str,
        reference: message_pb2.RequestReference,
        subject: bytes,
    ) -> Outgoing:
        """A reply or rejection to the sender of the referenced message, or a delivery report about it to the hub."""
        message_id = new_message_id(self.now_ms())
        recipient = HUB if kind == message_pb2.MESSAGE_KIND_DELIVERY_REPORT else reference.sender
        header = build_header(
            network=self.network,
            sender=self.participant,
            recipient=recipient,
            method=method,
            kind=kind,
            message_id=message_id,
            payload=payload,
            reply_to=reference,
        )
        return Outgoing(
            id=message_id,
            recipient=recipient,
            method=method,
            kind=kind,
            header=header,
            payload=payload,
            subject=subject,
        )

    def delivery_report(
        self,
        reason: int,
        detail: str,
        *,
        method: str,
        reference: message_pb2.RequestReference,
        attempt_count: int = 0,
    ) -> Outgoing:
        """The report of a message that this adapter gives up on (rule 13)."""
        report = message_pb2.DeliveryReport(
            reason=reason,  # type: ignore[arg-type]
            detail=detail,
            attempt_count=attempt_count,
        )
        return self.answer(
            message_pb2.MESSAGE_KIND_DELIVERY_REPORT,
            report.SerializeToString(),
            method=method,
            reference=reference,
            subject=self.own_subject(reference.sender, reference.id),
        )

    def undo(
        self, method: str, payload: bytes, *, message_id: bytes, original: message_pb2.RequestReference
    ) -> Message:
        """Work that we owe ourselves: to undo an original. It is never sent, so nobody signs it and nobody is answered.

        `message_id` is that of the hub's message that asks for it: the same one asks for the same work.
        """
        header = build_header(
            network=self.network,
            sender=self.participant,
            recipient=self.participant,
            method=method,
            kind=message_pb2.MESSAGE_KIND_EVENT,
            message_id=message_id,
            payload=payload,
            reply_to=original,
        )
        return trusted_message(header, payload, b"")

    def subject_of(self, method: Method, payload: ProtoMessage, sender: str, message_id: bytes) -> bytes:
        """Lookup key of the person by whom the message is ordered; its own where it has none, or none that is valid."""
        person = method.subject_of(payload)
        if person is None:
            return self.own_subject(sender, message_id)
        try:
            return self.sealer.lookup("subject", normalise_identity(person.kind.code, person.number))
        except OneCardError:
            return self.own_subject(sender, message_id)

    def own_subject(self, sender: str, message_id: bytes) -> bytes:
        """Lookup key of a message that stands alone."""
        return self.sealer.lookup("message", sender, message_id.hex())
