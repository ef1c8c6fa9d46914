"""What must change for the directory to become what a reviewed file says: control records, and only the differences."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from onecard.exchange.v1 import control_pb2, errors_pb2
from onecard_broker.directory.model import Directory, Feed, Key, KeyStatus, MethodPatterns, Participant
from onecard_broker.directory.to_proto import key_to_proto, participant_to_proto, revocation_to_proto
from onecard_broker.directory.yaml_file import DirectoryFile, KeyEntry, ParticipantEntry
from onecard_protocol.errors import OneCardError, Violation

REMOVED_CAUSE: Final = "no longer in the directory file"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One change, and its line for the person who approves it."""

    record: control_pb2.ControlRecord
    subject: str
    """Participant or key that it concerns."""
    what: str
    """What changes, in English / in Chinese."""


def differences(
    present: Directory, file: DirectoryFile, *, network: str, methods: Collection[str], now_ms: int
) -> list[Difference]:
    """The changes that bring the present directory to the file's, numbered behind it; none if there are none.

    What the file no longer names loses its rights: a participant keeps its name, a key that is still valid is revoked.
    Raises OneCardError CONFIGURATION_INVALID: another network, a pattern that no method matches, an id used for another
    key, a revocation moved to a later instant.
    """
    wrong = [*_wrong_file(present, file, network=network, methods=methods)]
    if wrong:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            "the directory file contradicts the directory or the protocol / 目录文件与现有目录或协议矛盾",
            violations=wrong,
        )
    found = [
        *_participant_changes(present, file),
        *_key_changes(present, file),
        *_revocations(present, file, now_ms),
    ]
    for number, difference in enumerate(found, present.version + 1):
        difference.record.number = number
    return found


def revocation_of(present: Directory, key_id: str, *, at_ms: int, cause: str) -> Difference:
    """The record that revokes one key; raises OneCardError KEY_UNKNOWN or KEY_REVOKED."""
    if key_id not in present.keys:
        raise OneCardError(errors_pb2.ERROR_REASON_KEY_UNKNOWN, key_id)
    earlier = present.revocations.get(key_id)
    if earlier is not None and earlier[0] <= at_ms:
        raise OneCardError(errors_pb2.ERROR_REASON_KEY_REVOKED, key_id)
    difference = _revocation(key_id, at_ms, cause)
    difference.record.number = present.version + 1
    return difference


def check_signing_key(present: Directory, found: Sequence[Difference], key_id: str, *, now_ms: int) -> None:
    """Raise OneCardError CONFIGURATION_INVALID where the hub's signing key does not outlast the changes that it signs.

    A control record counts only where the directory before it holds its key as valid: behind one that does not, nobody
    follows the directory any further, for good. A key that the directory does not name is the configuration's business.
    """
    directory, statuses = present, [present.key_status(key_id, now_ms)]
    for difference in found:
        directory = directory.apply(difference.record)
        statuses.append(directory.key_status(key_id, now_ms))
    if found and not {KeyStatus.OK, None}.issuperset(statuses):
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            f"the hub signs these changes with {key_id}, which is not valid before or after them: nobody would ever"
            " follow the directory again; bring in a new key of the hub, set signing_key to it, then end this one"
            f" / 枢纽以 {key_id} 签署这些变更，而该密钥在变更前或变更后无效，此后任何一方都无法再跟随目录；"
            "请先登记枢纽的新密钥并改用它签名（signing_key），再停用此密钥",
        )


def participant_of_entry(participant_id: str, entry: ParticipantEntry) -> Participant:
    """The participant that an entry of the file describes."""
    window = entry.maintenance
    return Participant(
        id=participant_id,
        name_zh=entry.name_zh,
        name_en=entry.name_en,
        may_send=MethodPatterns(tuple(entry.may_send)),
        may_receive=MethodPatterns(tuple(entry.may_receive)),
        certificate_names=frozenset(entry.certificate_names),
        maintenance=None if window is None else (_to_ms(window.start), _to_ms(window.end)),
        feeds=tuple(
            Feed(package=feed.package, has_everything=feed.everything, residents_of=frozenset(feed.residents_of))
            for feed in entry.feeds
        ),
    )


def key_of_entry(participant_id: str, entry: KeyEntry) -> Key:
    """The key that an entry of the file describes, without its revocation."""
    return Key(
        participant=participant_id,
        key_id=entry.id,
        public_key=bytes.fromhex(entry.public_key),
        not_before_ms=_to_ms(entry.not_before),
        not_after_ms=_to_ms(entry.not_after),
    )


def _to_ms(instant: datetime.datetime) -> int:
    return (instant - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(milliseconds=1)


def _entries(file: DirectoryFile) -> Iterator[tuple[str, int, KeyEntry]]:
    for participant_id, entry in file.participants.items():
        for index, key in enumerate(entry.keys):
            yield participant_id, index, key


def _wrong_file(
    present: Directory, file: DirectoryFile, *, network: str, methods: Collection[str]
) -> Iterator[Violation]:
    if file.network != network:
        yield "network", f"is {file.network}, this hub serves {network} / 网络不符"
    for participant_id, entry in file.participants.items():
        for field, patterns in (("may_send", entry.may_send), ("may_receive", entry.may_receive)):
            for index, text in enumerate(patterns):
                pattern = MethodPatterns((text,))
                if not any(pattern.matches(method) for method in methods):
                    yield f"participants.{participant_id}.{field}.{index}", f"{text}: no such method / 没有此方法"
        for index, feed in enumerate(entry.feeds):
            if not any(method.startswith(f"/{feed.package}.") for method in methods):
                path = f"participants.{participant_id}.feeds.{index}.package"
                yield path, f"{feed.package}: no such package / 没有此业务包"
    for participant_id, index, entry_key in _entries(file):
        path = f"participants.{participant_id}.keys.{index}"
        key = present.keys.get(entry_key.id)
        if key is not None and (key.participant, key.public_key.hex()) != (participant_id, entry_key.public_key):
            yield f"{path}.id", "was used for another key; take a new id / 该编号已用于其他密钥，请换新编号"
        revoked = present.revocations.get(entry_key.id)
        if revoked is not None and entry_key.revoked is not None and _to_ms(entry_key.revoked.at) > revoked[0]:
            yield f"{path}.revoked.at", "a revocation is never moved to a later instant / 吊销时间不得推后"


def _participant_changes(present: Directory, file: DirectoryFile) -> Iterator[Difference]:
    for participant_id, entry in sorted(file.participants.items()):
        wanted = participant_of_entry(participant_id, entry)
        known = present.participants.get(participant_id)
        if known is None:
            yield _put(wanted, "new participant / 新增参与方")
        elif known != wanted:
            changed = [
                field.name
                for field in dataclasses.fields(Participant)
                if getattr(known, field.name) != getattr(wanted, field.name)
            ]
            yield _put(wanted, f"changed / 变更: {', '.join(changed)}")
    nothing = MethodPatterns(())
    for participant_id, known in sorted(present.participants.items()):
        bare = dataclasses.replace(
            known, may_send=nothing, may_receive=nothing, certificate_names=frozenset(), maintenance=None, feeds=()
        )
        if participant_id not in file.participants and known != bare:
            yield _put(bare, "loses all rights: not in the file / 取消全部权限：文件中已无此项")


def _key_changes(present: Directory, file: DirectoryFile) -> Iterator[Difference]:
    for participant_id, _, entry in _entries(file):
        wanted = key_of_entry(participant_id, entry)
        known = present.keys.get(entry.id)
        if known is None or (known.not_before_ms, known.not_after_ms) != (wanted.not_before_ms, wanted.not_after_ms):
            yield Difference(
                record=control_pb2.ControlRecord(put_key=key_to_proto(wanted)),
                subject=entry.id,
                what=f"new key of / 新密钥 {participant_id}" if known is None else "other validity / 变更有效期",
            )


def _revocations(present: Directory, file: DirectoryFile, now_ms: int) -> Iterator[Difference]:
    for _, _, entry in _entries(file):
        if entry.revoked is not None:
            revoked = present.revocations.get(entry.id)
            at_ms = _to_ms(entry.revoked.at)
            if revoked is None or at_ms < revoked[0]:
                yield _revocation(entry.id, at_ms, entry.revoked.cause)
    named = {entry.id for _, _, entry in _entries(file)}
    for key_id, key in sorted(present.keys.items()):
        if key_id not in named and key.revoked_ms is None and now_ms < key.not_after_ms:
            yield _revocation(key_id, now_ms, REMOVED_CAUSE)


def _put(participant: Participant, what: str) -> Difference:
    return Difference(
        record=control_pb2.ControlRecord(put_participant=participant_to_proto(participant)),
        subject=participant.id,
        what=what,
    )


def _revocation(key_id: str, at_ms: int, cause: str) -> Difference:
    return Difference(
        record=control_pb2.ControlRecord(revoke_key=revocation_to_proto(key_id, at_ms, cause)),
        subject=key_id,
        what=f"revoked / 吊销: {cause}",
    )
