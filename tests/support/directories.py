"""Directories and keys for tests: participants with rights, and signers whose keys the directory knows."""

from __future__ import annotations

from collections.abc import Sequence

from onecard.exchange.v1 import control_pb2
from onecard_broker.directory.model import EMPTY_DIRECTORY, Directory
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import timestamp
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner, Signer

NETWORK = "test-unit"
MEDICAL = "/onecard.medical.v1.*"
FOREVER_MS = 4_102_444_800_000


def certificate_name(participant: str) -> str:
    """The DNS name that a participant connects with in tests."""
    return f"{participant}.onecard.test"


def new_signer(key_id: str) -> EngineSigner:
    """A signer with a new key."""
    engine = native_engine()
    return EngineSigner(engine, key_id, engine.generate_private_key())


def put_participant(
    participant: str, patterns: tuple[str, ...] = (MEDICAL,), certificate_names: Sequence[str] | None = None
) -> control_pb2.ControlRecord:
    """A control record, still without number, that lets a participant send and receive what the patterns name."""
    if certificate_names is None:
        certificate_names = [certificate_name(participant)]
    return control_pb2.ControlRecord(
        put_participant=control_pb2.Participant(
            id=participant,
            name_zh=participant,
            name_en=participant,
            may_send=patterns,
            may_receive=patterns,
            certificate_names=certificate_names,
        )
    )


def put_key(
    participant: str, signer: Signer, *, not_before_ms: int = 0, not_after_ms: int = FOREVER_MS
) -> control_pb2.ControlRecord:
    """A control record, still without number, that names a signer's key."""
    return control_pb2.ControlRecord(
        put_key=control_pb2.ParticipantKey(
            participant=participant,
            key_id=signer.key_id,
            public_key=signer.public_key,
            not_before_time=timestamp(not_before_ms),
            not_after_time=timestamp(not_after_ms),
        )
    )


def revoke_key(key_id: str, at_ms: int) -> control_pb2.ControlRecord:
    """A control record, still without number, that ends a key."""
    return control_pb2.ControlRecord(
        revoke_key=control_pb2.KeyRevocation(key_id=key_id, revoked_time=timestamp(at_ms), cause="lost")
    )


def numbered(*records: control_pb2.ControlRecord, first: int = 1) -> list[control_pb2.ControlRecord]:
    """The records with numbers from the first one given."""
    for number, record in enumerate(records, first):
        record.number = number
    return list(records)


def directory_of(*records: control_pb2.ControlRecord, onto: Directory = EMPTY_DIRECTORY) -> Directory:
    """The directory after the records, numbered behind the one given."""
    for record in numbered(*records, first=onto.version + 1):
        onto = onto.apply(record)
    return onto


def country(
    signers: dict[str, EngineSigner], patterns: tuple[str, ...] = (MEDICAL,)
) -> list[control_pb2.ControlRecord]:
    """Numbered records of participants with one key each; the hub gets a key and no rights."""
    records = []
    for participant, signer in signers.items():
        records.append(put_participant(participant, () if participant == HUB else patterns))
        records.append(put_key(participant, signer))
    return numbered(*records)
