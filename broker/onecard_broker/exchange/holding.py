"""What becomes of a record that is held: how it is parked, and who is told (design.md, rule 14).

Owns no decision about when: the decider holds what cannot be decided and what waits behind it.

What is addressed to the hub would have changed what gateways remember of the person. They follow the hub's inbox, so a
notice goes there too, in its place before the next tick: what they remember may be told no more.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain.model import Effect, Inbound, KnownMessage, KnownState, MessageKey, Remember, Say
from onecard_broker.exchange.batch import Batch
from onecard_broker.exchange.inbounds import Entry
from onecard_broker.journal import answers_text
from onecard_broker.records.parking import Parked
from onecard_protocol.errors import OneCardError, to_rejection
from onecard_protocol.identifiers import HUB, message_id_from
from onecard_protocol.messages import Message, reference_to
from onecard_protocol.signatures.sm3 import sm3

_TO_HUB: Final = -1
"""The index of the notice to the hub, before all that a record makes it say to others."""


def hold(batch: Batch, entry: Entry, now_ms: int) -> None:
    """Park a record that cannot be decided; its sender gets a notice, once, and whoever asks is told of it."""
    inbound = entry.inbound
    subject = "" if inbound is None else inbound.subject
    park(batch, entry, subject or answers_text(key_of(entry)), entry.held_because, is_offender=True)
    if inbound is None or entry.is_replay:
        return
    effects: list[Effect] = _notice_to_hub(inbound)
    if inbound.message is not None:
        effects.insert(0, Remember(known=known_as(inbound, KnownState.HELD)))
    if inbound.message is not None and inbound.message.header.sender != HUB:
        effects.insert(0, _notice(inbound, entry.held_because))
    batch.apply(inbound, entry.record, effects, now_ms)


def wait(batch: Batch, entry: Entry, inbound: Inbound, now_ms: int) -> None:
    """Park a record behind what its person waits for; whoever asks is told that it is held."""
    park(batch, entry, inbound.subject, "waits behind a held record or dead letter", is_offender=False)
    if message_of(inbound).key not in batch.overlay(inbound.partition).known:
        effects = [Remember(known=known_as(inbound, KnownState.HELD)), *_notice_to_hub(inbound)]
        batch.apply(inbound, entry.record, effects, now_ms)


def park(batch: Batch, entry: Entry, subject: str, cause: str, *, is_offender: bool) -> None:
    """Keep a record under a subject; behind an offender that subject waits."""
    sender, message_id = key_of(entry)
    batch.park(
        Parked(
            record=entry.record,
            subject=subject,
            sender=sender,
            id=message_id,
            is_offender=is_offender,
            cause=cause,
        )
    )
    if entry.timer is not None:
        batch.keep_timer(entry.record.partition, entry.timer)


def key_of(entry: Entry) -> MessageKey:
    """Under what an operator finds a parked record: its message, or for a timer or what cannot be read, its place."""
    if entry.inbound is not None and entry.inbound.message is not None:
        return entry.inbound.message.key
    record = entry.record
    return HUB, message_id_from(record.append_time_ms, sm3(f"{record.partition}|{record.position}".encode()))


def refusal(inbound: Inbound, reason: int) -> Say:
    """The rejection of a message that no rule decided."""
    return _say(inbound, message_pb2.MESSAGE_KIND_REJECTION, to_rejection(OneCardError(reason)).SerializeToString())


def final_refusal(inbound: Inbound, reason: int, now_ms: int) -> list[Effect]:
    """The final rejection of a held message; its first answer, so the notice's own id is not used again."""
    answer = (HUB, inbound.derived_id(now_ms, 1))
    known = dataclasses.replace(known_as(inbound, KnownState.DECIDED), answer=answer)
    return [dataclasses.replace(refusal(inbound, reason), index=1), Remember(known=known)]


def message_of(inbound: Inbound) -> Message:
    """The message of a record that has one."""
    assert inbound.message is not None
    return inbound.message


def known_as(inbound: Inbound, state: KnownState) -> KnownMessage:
    """The record's message as it will be known."""
    message = message_of(inbound)
    return KnownMessage(
        sender=message.header.sender,
        id=message.header.id,
        digest=message.digest,
        recipient=message.header.recipient,
        method=message.header.method,
        subject=inbound.subject,
        state=state,
    )


def _notice(inbound: Inbound, detail: str) -> Say:
    notice = message_pb2.Notice(state=message_pb2.OPEN_STATE_HELD, reason=errors_pb2.ERROR_REASON_HELD, detail=detail)
    return _say(inbound, message_pb2.MESSAGE_KIND_NOTICE, notice.SerializeToString())


def _notice_to_hub(inbound: Inbound) -> list[Effect]:
    if inbound.message is not None and inbound.message.header.recipient != HUB:
        return []
    return [dataclasses.replace(_notice(inbound, ""), index=_TO_HUB, recipient=HUB)]


def _say(inbound: Inbound, kind: message_pb2.MessageKind, payload: bytes) -> Say:
    message = inbound.message
    if message is None:  # It cannot be read: nobody but the hub is told.
        return Say(index=0, recipient=HUB, method="", kind=kind, payload=payload)
    return Say(
        index=0,
        recipient=message.header.sender,
        method=message.header.method,
        kind=kind,
        payload=payload,
        reply_to=reference_to(message, log_epoch=inbound.log_epoch, partition=inbound.partition),
        answers=message.key,
    )
