"""The directory as a value: each control record gives the next one, and questions are answered without I/O.

Owns what a control record means for participants and keys; does not know where records come from or whether their
signatures were checked.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from onecard.exchange.v1 import control_pb2
from onecard_broker.domain.model import Feeds
from onecard_protocol.messages import to_ms


class KeyStatus(enum.Enum):
    """Whether a key may be used at an instant."""

    OK = "ok"
    NOT_YET = "not yet"
    EXPIRED = "expired"
    REVOKED = "revoked"


class NumberGap(Exception):
    """A control record does not follow the directory's newest one."""

    def __init__(self, expected: int, found: int) -> None:
        """The number that should come next, and the one that came."""
        super().__init__(f"control record {expected} is missing, {found} came")
        self.expected = expected
        self.found = found


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A participant's public key with its validity in ms since 1970: from `not_before_ms`, until `not_after_ms`."""

    participant: str
    key_id: str
    public_key: bytes
    not_before_ms: int
    not_after_ms: int
    revoked_ms: int | None = None
    revocation_cause: str = ""

    def status(self, at_ms: int) -> KeyStatus:
        """Whether the key may be used at the instant; a revocation counts before the end of validity."""
        if self.revoked_ms is not None and at_ms >= self.revoked_ms:
            return KeyStatus.REVOKED
        if at_ms < self.not_before_ms:
            return KeyStatus.NOT_YET
        return KeyStatus.OK if at_ms < self.not_after_ms else KeyStatus.EXPIRED


@dataclasses.dataclass(frozen=True, slots=True)
class MethodPatterns:
    """Full method names, and ``/onecard.medical.v1.*`` for all of a package."""

    texts: tuple[str, ...]
    _names: frozenset[str] = dataclasses.field(init=False, repr=False, compare=False)
    _prefixes: tuple[str, ...] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", frozenset(text for text in self.texts if not text.endswith("*")))
        object.__setattr__(self, "_prefixes", tuple(text[:-1] for text in self.texts if text.endswith("*")))

    def matches(self, method: str) -> bool:
        """Whether one of the patterns names the method."""
        return method in self._names or method.startswith(self._prefixes)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A share of a package's published events: all of them, or those about residents of some provinces."""

    package: str
    has_everything: bool = False
    residents_of: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """A participant with its rights; its maintenance, if any, lies in [start, end) in ms since 1970."""

    id: str
    name_zh: str
    name_en: str
    may_send: MethodPatterns
    may_receive: MethodPatterns
    certificate_names: frozenset[str]
    maintenance: tuple[int, int] | None = None
    feeds: tuple[Feed, ...] = ()
    """By package, one each."""

    def is_in_maintenance(self, at_ms: int) -> bool:
        """Whether the participant declared that it takes no requests at the instant."""
        return self.maintenance is not None and self.maintenance[0] <= at_ms < self.maintenance[1]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """The directory after the control record number `version`; every change gives a new one."""

    version: int
    participants: Mapping[str, Participant]
    keys: Mapping[str, Key]
    revocations: Mapping[str, tuple[int, str]]
    """Instant in ms and cause by key id; kept apart, so that putting a key again never lifts its revocation."""
    feeds: Mapping[str, Feeds] = dataclasses.field(default_factory=dict)
    """By package, as the participants' feeds give it."""

    def apply(self, record: control_pb2.ControlRecord) -> Directory:
        """The directory after the record; itself for a repeated number or a tick.

        Raises NumberGap where a record is missing in between.
        """
        change = record.WhichOneof("change")
        if change is None or record.number <= self.version:
            return self
        if record.number != self.version + 1:
            raise NumberGap(self.version + 1, record.number)
        following = dataclasses.replace(self, version=record.number)
        match change:
            case "put_participant":
                participant = participant_from_proto(record.put_participant)
                participants = {**self.participants, participant.id: participant}
                return dataclasses.replace(
                    following, participants=MappingProxyType(participants), feeds=_feeds(participants.values())
                )
            case "put_key":
                key = key_from_proto(record.put_key)
                revoked = self.revocations.get(key.key_id)
                if revoked is not None:
                    key = dataclasses.replace(key, revoked_ms=revoked[0], revocation_cause=revoked[1])
                return dataclasses.replace(following, keys=MappingProxyType({**self.keys, key.key_id: key}))
            case "revoke_key":
                return following._revoked(record.revoke_key)
        return following

    def key_for(self, key_id: str) -> Key | None:
        """The key of an id; None if the directory has none."""
        return self.keys.get(key_id)

    def key_status(self, key_id: str, at_ms: int) -> KeyStatus | None:
        """Whether the key may be used at the instant; None if the directory has no such key."""
        key = self.keys.get(key_id)
        return None if key is None else key.status(at_ms)

    def keys_of(self, participant: str) -> list[Key]:
        """All keys of a participant, by start of validity."""
        return sorted(
            (key for key in self.keys.values() if key.participant == participant),
            key=lambda key: (key.not_before_ms, key.key_id),
        )

    def may_send(self, participant: str, method: str) -> bool:
        """Whether the participant may send the method."""
        entry = self.participants.get(participant)
        return entry is not None and entry.may_send.matches(method)

    def may_receive(self, participant: str, method: str) -> bool:
        """Whether the participant takes the method."""
        entry = self.participants.get(participant)
        return entry is not None and entry.may_receive.matches(method)

    def participant_of_certificate(self, names: frozenset[str]) -> str | None:
        """The one participant that connects with a certificate of these DNS names; None for none or several."""
        found = [entry.id for entry in self.participants.values() if entry.certificate_names & names]
        return found[0] if len(found) == 1 else None

    def _revoked(self, revocation: control_pb2.KeyRevocation) -> Directory:
        at_ms = to_ms(revocation.revoked_time)
        earlier = self.revocations.get(revocation.key_id)
        if earlier is not None and earlier[0] <= at_ms:
            return self  # A revocation is never moved to a later instant.
        revocations = {**self.revocations, revocation.key_id: (at_ms, revocation.cause)}
        keys = dict(self.keys)
        key = keys.get(revocation.key_id)
        if key is not None:
            keys[key.key_id] = dataclasses.replace(key, revoked_ms=at_ms, revocation_cause=revocation.cause)
        return dataclasses.replace(self, revocations=MappingProxyType(revocations), keys=MappingProxyType(keys))


EMPTY_DIRECTORY: Final = Directory(
    version=0, participants=MappingProxyType({}), keys=MappingProxyType({}), revocations=MappingProxyType({})
)
"""The directory before its first control record."""


def participant_from_proto(entry: control_pb2.Participant) -> Participant:
    """A participant of a control record."""
    window = entry.maintenance
    return Participant(
        id=entry.id,
        name_zh=entry.name_zh,
        name_en=entry.name_en,
        may_send=MethodPatterns(tuple(entry.may_send)),
        may_receive=MethodPatterns(tuple(entry.may_receive)),
        certificate_names=frozenset(entry.certificate_names),
        maintenance=(to_ms(window.start_time), to_ms(window.end_time)) if entry.HasField("maintenance") else None,
        feeds=tuple(
            Feed(
                package=feed.package,
                has_everything=feed.has_everything,
                residents_of=frozenset(feed.residents_of),
            )
            for feed in entry.feeds
        ),
    )


def _feeds(participants: Iterable[Participant]) -> Mapping[str, Feeds]:
    everything: dict[str, set[str]] = defaultdict(set)
    residents: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for participant in participants:
        for feed in participant.feeds:
            if feed.has_everything:
                everything[feed.package].add(participant.id)
            for province in feed.residents_of:
                residents[feed.package][province].add(participant.id)
    return MappingProxyType(
        {
            package: Feeds(
                everything=frozenset(everything[package]),
                residents={province: frozenset(takers) for province, takers in residents[package].items()},
            )
            for package in {*everything, *residents}
        }
    )


def key_from_proto(key: control_pb2.ParticipantKey) -> Key:
    """A key of a control record, not revoked."""
    return Key(
        participant=key.participant,
        key_id=key.key_id,
        public_key=key.public_key,
        not_before_ms=to_ms(key.not_before_time),
        not_after_ms=to_ms(key.not_after_time),
    )
