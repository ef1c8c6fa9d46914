"""The directory's values as messages, for control records and for `ListParticipants`."""

from __future__ import annotations

from onecard.exchange.v1 import control_pb2, service_pb2
from onecard_broker.directory.model import Directory, Key, Participant
from onecard_protocol.messages import timestamp


def participant_to_proto(participant: Participant) -> control_pb2.Participant:
    """A participant as it stands in a control record."""
    window = participant.maintenance
    return control_pb2.Participant(
        id=participant.id,
        name_zh=participant.name_zh,
        name_en=participant.name_en,
        may_send=participant.may_send.texts,
        may_receive=participant.may_receive.texts,
        certificate_names=sorted(participant.certificate_names),
        maintenance=None
        if window is None
        else control_pb2.MaintenanceWindow(start_time=timestamp(window[0]), end_time=timestamp(window[1])),
        feeds=[
            control_pb2.Feed(
                package=feed.package, has_everything=feed.has_everything, residents_of=sorted(feed.residents_of)
            )
            for feed in participant.feeds
        ],
    )


def key_to_proto(key: Key) -> control_pb2.ParticipantKey:
    """A key as it stands in a control record; its revocation is a record of its own."""
    return control_pb2.ParticipantKey(
        participant=key.participant,
        key_id=key.key_id,
        public_key=key.public_key,
        not_before_time=timestamp(key.not_before_ms),
        not_after_time=timestamp(key.not_after_ms),
    )


def revocation_to_proto(key_id: str, revoked_ms: int, cause: str) -> control_pb2.KeyRevocation:
    """A revocation as it stands in a control record."""
    return control_pb2.KeyRevocation(key_id=key_id, revoked_time=timestamp(revoked_ms), cause=cause)


def listing(directory: Directory) -> service_pb2.ListParticipantsResponse:
    """Everything in the directory, by id."""
    return service_pb2.ListParticipantsResponse(
        participants=[participant_to_proto(entry) for _, entry in sorted(directory.participants.items())],
        keys=[key_to_proto(key) for _, key in sorted(directory.keys.items())],
        revocations=[
            revocation_to_proto(key_id, at_ms, cause)
            for key_id, (at_ms, cause) in sorted(directory.revocations.items())
        ],
        directory_version=directory.version,
    )
