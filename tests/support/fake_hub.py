"""A hub in the test's process, for the adapter's own tests: one journal in memory, gateways as real gRPC servers.

It verifies what it is sent, routes it, numbers it and misbehaves on request. It knows no rule of a business, and what
it does is not the measure of the hub: that is what the tests against the real one are for.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Callable

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2, service_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB, new_message_id
from onecard_protocol.messages import (
    MESSAGE_CONTEXT,
    RECEIPT_CONTEXT,
    Message,
    build_header,
    from_wire,
    reference_to,
    timestamp,
)
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier, sign_one
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner

NETWORK = "test-sdk"
ENGINE = native_engine()
METHODS = MethodRegistry.load()
PARTITION_COUNT = 4
Key = tuple[str, bytes]


def new_signer(key_id: str) -> EngineSigner:
    """A signer with a fresh key."""
    return EngineSigner(ENGINE, key_id, ENGINE.generate_private_key())


@dataclasses.dataclass(slots=True)
class Known:
    """What the hub knows of a message."""

    message: Message | None
    digest: bytes
    partition: int
    outcome: Message | None = None
    is_closed: bool = False


@dataclasses.dataclass(slots=True)
class Faults:
    """What the hub does wrong, as long as it is set; counters count down."""

    refusals: deque[OneCardError] = dataclasses.field(default_factory=deque)
    """The next typed calls and batches are refused with these, before the journal."""
    calls_broken_after_journal: int = 0
    """The next typed calls are journaled, and their connection breaks."""
    refusals_behind_break: list[OneCardError] = dataclasses.field(default_factory=list)
    """What is refused next after a call or a batch was broken."""
    batch_refusals: deque[OneCardError] = dataclasses.field(default_factory=deque)
    """The next batches are refused as a whole with these."""
    batches_broken_after_journal: int = 0
    """The next batches are journaled, and their receipts are lost."""
    questions_held: bool = False
    """GetOutcome is taken and not answered."""
    answers_by_call: bool = True
    answers_by_inbox: bool = True
    """False keeps answers out of the inbox, without a gap."""
    ticks: bool = True
    is_silent: bool = False
    """Streams stay open and say nothing; calls are taken and held."""
    stream_refusal: OneCardError | None = None
    """New streams, of deliveries and of the directory, are refused with it."""
    deliver: Callable[[list[service_pb2.Delivery]], list[service_pb2.Delivery]] | None = None
    """What a stream gives instead of these deliveries."""
    watermarks: bool = True
    """False: ticks do not know yet what was published."""
    inbox_start: int = 0
    """What stands before this index is no longer in the inboxes, only among the outputs."""
    outputs_kept_from: int = 0
    """Outputs with lower numbers are no longer kept."""
    outputs_page: int = 512
    """How many outputs fit one answer."""
    clock_offset_ms: int = 0
    receipt: Callable[[Message], message_pb2.SignedReceipt | None] | None = None
    """What a message gets instead of its receipt, if anything."""
    rejections_by_call: bool = True
    """False: a rejection is too large for the call; its reason and the receipt come alone."""

    def break_behind(self) -> None:
        """A call or a batch is broken now."""
        self.refusals.extend(self.refusals_behind_break)
        self.refusals_behind_break.clear()


class FakeHub:
    """The state that all gateways share."""

    def __init__(self) -> None:
        self.epoch = "epoch-1"
        self.faults = Faults()
        self.signer = new_signer("hub-1")
        self.signers: dict[str, EngineSigner] = {}
        self.journal: list[Message] = []
        self.reports: list[Message] = []
        self.known: dict[Key, Known] = {}
        self.inboxes: defaultdict[str, list[service_pb2.Delivery]] = defaultdict(list)
        self.controls: list[message_pb2.SignedMessage] = []
        self.questions = 0
        self.outputs_read: list[service_pb2.ReadOutputsRequest] = []
        self.received_cursors: list[bytes] = []
        self.changed = asyncio.Event()
        self._numbers: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._held: defaultdict[Key, list[asyncio.Future[Message]]] = defaultdict(list)
        self._verifier = BlockVerifier(ENGINE)

    def now_ms(self) -> int:
        """Hub time."""
        return time.time_ns() // 1_000_000 + self.faults.clock_offset_ms

    def add_participant(self, participant: str) -> EngineSigner:
        """Enter a participant with a key into the directory."""
        signer = new_signer(f"{participant}-1")
        self.signers[participant] = signer
        self.control(put_participant=control_pb2.Participant(id=participant))
        self.put_key(participant, signer)
        return signer

    def put_key(self, participant: str, signer: EngineSigner) -> None:
        """Enter a key."""
        self.control(
            put_key=control_pb2.ParticipantKey(
                participant=participant,
                key_id=signer.key_id,
                public_key=signer.public_key,
                not_before_time=timestamp(self.now_ms() - 3_600_000),
                not_after_time=timestamp(self.now_ms() + 3_600_000),
            )
        )

    def revoke(self, key_id: str, revoked_ms: int) -> None:
        """Revoke a key."""
        self.control(revoke_key=control_pb2.KeyRevocation(key_id=key_id, revoked_time=timestamp(revoked_ms)))

    def control(self, *, signer: EngineSigner | None = None, **change: ProtoMessage) -> None:
        """Append a control record."""
        record = control_pb2.ControlRecord(number=len(self.controls) + 1, **change)  # type: ignore[arg-type]
        payload = record.SerializeToString()
        header = build_header(
            network=NETWORK,
            sender=HUB,
            recipient=HUB,
            method="/onecard.exchange.v1.DirectoryService/WatchDirectory",
            kind=message_pb2.MESSAGE_KIND_CONTROL,
            message_id=new_message_id(self.now_ms()),
            payload=payload,
        )
        block = sign_one(signer or self.signer, MESSAGE_CONTEXT, header)
        self.controls.append(message_pb2.SignedMessage(header=header, payload=payload, signature=block))
        self._wake()

    def admit(self, signed: message_pb2.SignedMessage) -> Message:
        """Admit and journal a message. Raises OneCardError."""
        if self.faults.refusals:
            raise self.faults.refusals.popleft()
        message = self._verified(signed)
        before_ms = message.execute_before_ms
        if before_ms is not None and self.now_ms() >= before_ms:
            raise OneCardError(errors_pb2.ERROR_REASON_EXPIRED)
        self.journal.append(message)
        self._decide(message)
        return message

    def receipt(self, message: Message) -> message_pb2.SignedReceipt:
        """The signed receipt of a journaled message."""
        fault = self.faults.receipt(message) if self.faults.receipt is not None else None
        return self.receipt_with(message) if fault is None else fault

    def receipt_with(
        self, message: Message, *, signer: EngineSigner | None = None, **changes: str | bytes
    ) -> message_pb2.SignedReceipt:
        """A receipt of the message, or with changes one that is wrong."""
        receipt = message_pb2.Receipt(
            network=NETWORK,
            sender=message.header.sender,
            id=message.header.id,
            digest=message.digest,
            admitted_time=timestamp(self.now_ms()),
            log_epoch=self.epoch,
        )
        receipt.MergeFrom(message_pb2.Receipt(**changes))  # type: ignore[arg-type]
        content = receipt.SerializeToString()
        block = sign_one(signer or self.signer, RECEIPT_CONTEXT, content)
        return message_pb2.SignedReceipt(receipt=content, signature=block)

    def hold(self, message: Message) -> asyncio.Future[Message]:
        """The answer of a request, when it comes."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        outcome = self.known[message.key].outcome
        if outcome is not None:
            future.set_result(outcome)
        else:
            self._held[message.key].append(future)
        return future

    def tell_outcome(self, original: Message) -> message_pb2.SignedMessage:
        """Answer GetOutcome; a message never seen is closed."""
        self.questions += 1
        known = self.known.setdefault(original.key, Known(None, original.digest, 0, is_closed=True))
        report = message_pb2.OutcomeReport(state=message_pb2.OUTCOME_STATE_OPEN)
        if known.is_closed:
            report.state = message_pb2.OUTCOME_STATE_NEVER_SEEN
        elif known.outcome is not None:
            report.state = message_pb2.OUTCOME_STATE_DECIDED
            report.answer.CopyFrom(known.outcome.to_wire())
        return self.say(original, message_pb2.MESSAGE_KIND_OUTCOME_REPORT, report)

    def say(self, request: Message, kind: message_pb2.MessageKind, payload: ProtoMessage) -> message_pb2.SignedMessage:
        """A message of the hub's own about a request, to its sender."""
        content = payload.SerializeToString()
        header = build_header(
            network=NETWORK,
            sender=HUB,
            recipient=request.header.sender,
            method=request.header.method,
            kind=kind,
            message_id=new_message_id(self.now_ms()),
            payload=content,
            reply_to=reference_to(request, log_epoch=self.epoch, partition=self.known[request.key].partition),
        )
        block = sign_one(self.signer, MESSAGE_CONTEXT, header)
        return message_pb2.SignedMessage(header=header, payload=content, signature=block)

    def reject(self, request: Message, reason: int) -> None:
        """Decide a request by a rejection of the hub."""
        content = message_pb2.Rejection(reason=reason)  # type: ignore[arg-type]
        self._answer(request.key, from_wire(self.say(request, message_pb2.MESSAGE_KIND_REJECTION, content)))

    def deliver(self, recipient: str, message: message_pb2.SignedMessage, partition: int) -> None:
        """Put a message into an inbox under its next number."""
        self._numbers[(recipient, partition)] += 1
        number = self._numbers[(recipient, partition)]
        self.inboxes[recipient].append(service_pb2.Delivery(partition=partition, number=number, message=message))
        self._wake()

    def watermarks(self, participant: str) -> list[service_pb2.PartitionWatermark]:
        """Highest numbers of an inbox."""
        return [
            service_pb2.PartitionWatermark(partition=partition, number=number)
            for (recipient, partition), number in self._numbers.items()
            if recipient == participant
        ]

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def _verified(self, signed: message_pb2.SignedMessage) -> Message:
        message = from_wire(signed)
        if message.header.network != NETWORK:
            raise OneCardError(errors_pb2.ERROR_REASON_WRONG_NETWORK)
        block = message_pb2.SignatureBlock.FromString(signed.signature)
        sender = message.header.sender
        signer = self.signer if sender == HUB else self.signers[sender]
        if not self._verifier.verify(MESSAGE_CONTEXT, signed.header, block, signer.public_key):
            raise OneCardError(errors_pb2.ERROR_REASON_SIGNATURE_INVALID)
        return message

    def _decide(self, message: Message) -> None:
        known = self.known.get(message.key)
        if known is not None:
            if known.is_closed:
                self.reject(message, errors_pb2.ERROR_REASON_OUTCOME_ALREADY_TOLD)
            elif known.digest != message.digest:
                raise OneCardError(errors_pb2.ERROR_REASON_ID_CONFLICT)
            elif known.outcome is not None and self.faults.answers_by_inbox:
                self.deliver(message.header.sender, known.outcome.to_wire(), known.partition)
            return
        header = message.header
        self.known[message.key] = known = Known(message, message.digest, self._partition_of(message))
        if header.kind in {message_pb2.MESSAGE_KIND_REQUEST, message_pb2.MESSAGE_KIND_EVENT}:
            self.deliver(header.recipient, message.to_wire(), known.partition)
        elif header.kind == message_pb2.MESSAGE_KIND_DELIVERY_REPORT:
            self.reports.append(message)
        else:
            self._answer((header.reply_to.sender, header.reply_to.id), message)

    def _answer(self, request: Key, answer: Message) -> None:
        known = self.known[request]
        known.outcome = answer
        for future in self._held.pop(request, []):
            if not future.done():
                future.set_result(answer)
        if self.faults.answers_by_inbox:
            self.deliver(request[0], answer.to_wire(), known.partition)

    def _partition_of(self, message: Message) -> int:
        if message.header.HasField("reply_to"):
            assert message.header.reply_to.log_epoch == self.epoch
            return message.header.reply_to.partition
        method = METHODS[message.header.method]
        person = method.subject_of(method.input_class.FromString(message.payload))
        return zlib.crc32(b"" if person is None else person.number.encode()) % PARTITION_COUNT
