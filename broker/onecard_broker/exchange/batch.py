"""One batch of the worker while it is being decided: what was loaded, what changed, what must be written.

Owns the bookkeeping of effects; the rules are the domain's, the SQL is the store's. A batch is thrown away as a whole
when its transaction fails, so nothing here outlives it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, assert_never

from onecard_broker.directory.model import Directory
from onecard_broker.domain.model import (
    AggregateKey,
    CancelTimer,
    Effect,
    EndDeadLetter,
    Feeds,
    Forward,
    Inbound,
    KeepDeadLetter,
    KnownMessage,
    MessageKey,
    PassOn,
    Remember,
    SaveAggregate,
    Say,
    SetTimer,
    State,
    Timer,
)
from onecard_broker.exchange.inbounds import Entry
from onecard_broker.journal import answers_text, journal_recipient, partition_of_pseudonym
from onecard_broker.log.port import LoggedRecord
from onecard_broker.records.exchange_store import Output, PartitionRow
from onecard_broker.records.parking import Blocker, Parked
from onecard_protocol import limits
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import MESSAGE_CONTEXT, Message, build_header, trusted_message
from onecard_protocol.signatures.blocks import sign_batch
from onecard_protocol.signatures.signer import Signer
from onecard_protocol.value_class import value_class

_NEVER_MS: Final = 253_402_214_400_000
"""The last day of the year 9999."""


@dataclasses.dataclass(slots=True, kw_only=True)
class OwnedPartition:
    """A partition that this worker owns: where it stands, the directory in force in it, and who is parked.

    Mutable, because each record moves it; a batch works on copies.
    """

    partition: int
    log_epoch: str
    position: int
    now_ms: int
    control_number: int
    directory: Directory
    blockers: Mapping[str, tuple[Blocker, ...]] = dataclasses.field(default_factory=dict)
    """By subject, what its records wait for; replaced on change, never changed."""
    let_go: frozenset[str] = frozenset()
    """Subjects whose waiting records go on before anything else is decided."""

    @property
    def row(self) -> PartitionRow:
        """Where it stands, as it is stored."""
        return PartitionRow(
            partition=self.partition,
            log_epoch=self.log_epoch,
            position=self.position,
            now_ms=self.now_ms,
            control_number=self.control_number,
        )


@dataclasses.dataclass(slots=True)
class Overlay:
    """What of one partition was loaded, with the batch's own changes on top."""

    known: dict[MessageKey, KnownMessage] = dataclasses.field(default_factory=dict)
    aggregates: dict[AggregateKey, Any] = dataclasses.field(default_factory=dict)
    answers: dict[MessageKey, Message] = dataclasses.field(default_factory=dict)
    timers: dict[bytes, Timer] = dataclasses.field(default_factory=dict)
    stored: dict[AggregateKey, Any] = dataclasses.field(default_factory=dict)
    """Business states as they were loaded."""
    loaded_aggregates: set[AggregateKey] = dataclasses.field(default_factory=set)
    unsigned: set[MessageKey] = dataclasses.field(default_factory=set)
    """Answers that the hub made in this batch and has not signed yet."""

    def state(self, feeds: Mapping[str, Feeds]) -> State:
        """The view that the rules get; it shows later changes of the batch as they are made."""
        return State(known=self.known, aggregates=self.aggregates, answers=self.answers, feeds=feeds)


@value_class(frozen=True, slots=True)
class Draft:
    """An output before it has its number and, if it is the hub's own, its signature."""

    recipient: str
    partition: int
    message: Message
    answers: str
    decided_ms: int
    position: int
    is_own: bool
    subject: str = ""
    other_subject: str = ""


class Batch:
    """Collects the effects of a batch in the order of its records."""

    def __init__(self, partitions: Mapping[int, OwnedPartition], *, network: str, partition_count: int) -> None:
        """`partitions` are those owned of the journal's; they are copied on change, never changed."""
        self._network = network
        self._partition_count = partition_count
        self._before = partitions
        self.owned = {partition: dataclasses.replace(owned) for partition, owned in partitions.items()}
        self.overlays: dict[int, Overlay] = {}
        self.known: dict[tuple[int, MessageKey], KnownMessage] = {}
        self.aggregates: dict[tuple[int, AggregateKey], Any] = {}
        self.assumed_new: set[tuple[int, MessageKey]] = set()
        self.timers_set: dict[tuple[int, bytes], Timer] = {}
        self.timers_gone: set[tuple[int, bytes]] = set()
        self.drafts: list[Draft] = []
        self.parked: dict[tuple[int, int], Parked] = {}
        self.unparked: set[tuple[int, int]] = set()
        self.taken: set[int] = set()
        self.has_let_go = False
        self.record_count = 0

    def overlay(self, partition: int) -> Overlay:
        """The partition's overlay."""
        overlay = self.overlays.get(partition)
        if overlay is None:
            overlay = self.overlays[partition] = Overlay()
        return overlay

    def take(self, entry: Entry, append_time_slack_ms: int) -> int:
        """Advance the partition past a record; returns its `now` (rule 9). A replayed record moves neither."""
        owned = self.owned[entry.record.partition]
        self.record_count += 1
        self.taken.add(entry.record.partition)
        if entry.parked is not None:
            self._unpark(entry.record.partition, entry.parked.subject, entry.record.position)
            return owned.now_ms
        now_ms = max(owned.now_ms, min(entry.claimed_ms, entry.record.append_time_ms + append_time_slack_ms))
        owned.position = entry.record.position + 1
        owned.now_ms = now_ms
        return now_ms

    def state_changes(self) -> dict[tuple[int, AggregateKey], tuple[Any, Any]]:
        """(as stored, as it is to be) of each business state that the batch saves."""
        return {
            (partition, key): (self.overlays[partition].stored.get(key), data)
            for (partition, key), data in self.aggregates.items()
        }

    def moves(self) -> list[tuple[int, PartitionRow]]:
        """(position before, row after) of each partition that the batch decided anything in: that is the fence."""
        return [
            (self._before[partition].position, owned.row)
            for partition, owned in self.owned.items()
            if partition in self.taken
        ]

    def apply(self, inbound: Inbound, record: LoggedRecord, effects: Sequence[Effect], now_ms: int) -> None:
        """Carry the effects of one record out on the overlay."""
        partition = inbound.partition
        overlay = self.overlay(partition)
        said: dict[bytes, Message] = {}
        for effect in effects:
            match effect:
                case PassOn():
                    answers = "" if effect.answers is None else answers_text(effect.answers)
                    overlay.answers[effect.message.key] = effect.message
                    if self._is_reachable(partition, effect):
                        self._draft(effect.recipient, effect.message, answers, now_ms, inbound, is_own=False)
                case Say():
                    message = self._own_message(inbound, effect, now_ms)
                    said[message.header.id] = message
                    overlay.answers[message.key] = message
                    overlay.unsigned.add(message.key)
                    answers = "" if effect.answers is None else answers_text(effect.answers)
                    self._draft(effect.recipient, message, answers, now_ms, inbound, is_own=True)
                case Forward():
                    self._forward(inbound, effect, now_ms)
                case Remember():
                    known = effect.known
                    if not known.digest and known.sender == HUB:
                        known = dataclasses.replace(known, digest=said[known.id].digest)
                    overlay.known[known.key] = known
                    self.known[(partition, known.key)] = known
                case SaveAggregate():
                    if effect.data is None:
                        overlay.aggregates.pop(effect.key, None)
                    else:
                        overlay.aggregates[effect.key] = effect.data
                    self.aggregates[(partition, effect.key)] = effect.data
                case SetTimer():
                    overlay.timers.setdefault(effect.timer.id, effect.timer)
                    self.timers_set[(partition, effect.timer.id)] = effect.timer
                case CancelTimer():
                    self.spend_timer(partition, effect.id)
                case KeepDeadLetter(of=(sender, message_id)):
                    self._end_dead_letter(partition, effect.of, effect.subject)  # One for each message, the newest.
                    subject = effect.subject or answers_text(effect.of)
                    self.park(
                        Parked(
                            record=record,
                            subject=subject,
                            sender=sender,
                            id=message_id,
                            is_offender=True,
                            is_dead_letter=True,
                            cause=effect.cause,
                        )
                    )
                case EndDeadLetter():
                    self._end_dead_letter(partition, effect.of, effect.subject)
                case _:
                    assert_never(effect)

    def _is_reachable(self, partition: int, effect: PassOn) -> bool:
        """Whether there is somebody to deliver to; only what is published may name one whom the directory does not."""
        recipient = effect.recipient
        is_addressed = recipient == effect.message.header.recipient
        return is_addressed or recipient in self.owned[partition].directory.participants

    # ---- who waits -------------------------------------------------------------------------------------------------

    def park(self, parked: Parked) -> None:
        """Keep a record; behind an offender its subject waits."""
        owned = self.owned[parked.record.partition]
        place = parked.record.partition, parked.record.position
        self.unparked.discard(place)
        self.parked[place] = parked
        if parked.is_offender:
            of = (parked.sender, parked.id) if parked.is_dead_letter else None
            blocker = Blocker(position=parked.record.position, dead_letter_of=of)
            blockers = (*owned.blockers.get(parked.subject, ()), blocker)
            owned.blockers = {**owned.blockers, parked.subject: blockers}
            owned.let_go -= {parked.subject}

    def _end_dead_letter(self, partition: int, of: MessageKey, subject: str) -> None:
        """It stands under its person, or under its own key where nobody waits behind it."""
        blockers = self.owned[partition].blockers
        for where in (subject, answers_text(of)) if blockers else ():
            for blocker in blockers.get(where, ()):
                if blocker.dead_letter_of == of:
                    self._unpark(partition, where, blocker.position)

    def _unpark(self, partition: int, subject: str, position: int) -> None:
        """Forget a parked record; when it was the last that its subject waited for, those behind it go on."""
        owned = self.owned[partition]
        self.parked.pop((partition, position), None)
        self.unparked.add((partition, position))
        before = owned.blockers.get(subject, ())
        left = tuple(blocker for blocker in before if blocker.position != position)
        if left != before:
            others = {key: blockers for key, blockers in owned.blockers.items() if key != subject}
            owned.blockers = {**others, subject: left} if left else others
            if not left:
                owned.let_go |= {subject}
                self.has_let_go = True

    def spend_timer(self, partition: int, timer_id: bytes) -> None:
        """Delete a timer."""
        self.overlay(partition).timers.pop(timer_id, None)
        self.timers_set.pop((partition, timer_id), None)
        self.timers_gone.add((partition, timer_id))

    def keep_timer(self, partition: int, timer: Timer) -> None:
        """Keep the spent timer of a record that is held: it is not due by itself, and a replay finds it."""
        self.timers_set[(partition, timer.id)] = dataclasses.replace(timer, due_ms=_NEVER_MS)

    def outputs(self, signer: Signer, number_of: Callable[[str, int], int]) -> list[Output]:
        """Sign the hub's own messages by the batch and number all outputs.

        `number_of` gives the next number of (recipient, partition). CPU-bound by the signature.
        """
        own = [index for index, draft in enumerate(self.drafts) if draft.is_own]
        headers = [self.drafts[index].message.header_bytes for index in own]
        most = limits.BATCH_LEAF_COUNT_MAX
        batches = [headers[start : start + most] for start in range(0, len(headers), most)]
        blocks = [block for batch in batches for block in sign_batch(signer, MESSAGE_CONTEXT, batch)]
        signatures = dict(zip(own, blocks, strict=True))
        return [
            Output(
                recipient=draft.recipient,
                partition=draft.partition,
                number=number_of(draft.recipient, draft.partition),
                message=dataclasses.replace(draft.message, signature=signatures[index])
                if draft.is_own
                else draft.message,
                answers=draft.answers,
                decided_ms=draft.decided_ms,
                position=draft.position,
                subject=draft.subject,
                other_subject=draft.other_subject,
            )
            for index, draft in enumerate(self.drafts)
        ]

    def _draft(
        self, recipient: str, message: Message, answers: str, now_ms: int, inbound: Inbound, *, is_own: bool
    ) -> None:
        subject = inbound.subject if recipient == HUB else ""
        self.drafts.append(
            Draft(recipient, inbound.partition, message, answers, now_ms, inbound.position, is_own, subject)
        )

    def _forward(self, inbound: Inbound, forward: Forward, now_ms: int) -> None:
        if forward.say is None:
            message = forward.message
            assert message is not None
        else:
            message = self._own_message(inbound, forward.say, now_ms)
        self.drafts.append(
            Draft(
                recipient=journal_recipient(partition_of_pseudonym(forward.subject, self._partition_count)),
                partition=inbound.partition,
                message=message,
                answers=answers_text(("question", forward.question_id)) if forward.question_id else "",
                decided_ms=now_ms,
                position=inbound.position,
                is_own=forward.say is not None,
                subject=forward.subject,
                other_subject=forward.other_subject,
            )
        )

    def _own_message(self, inbound: Inbound, say: Say, now_ms: int) -> Message:
        header_bytes = build_header(
            network=self._network,
            sender=HUB,
            recipient=say.recipient,
            method=say.method,
            kind=say.kind,
            message_id=inbound.derived_id(now_ms, say.index),
            payload=say.payload,
            reply_to=say.reply_to,
        )
        return trusted_message(header_bytes, say.payload, b"")
