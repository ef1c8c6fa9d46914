import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Disposition(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISPOSITION_UNSPECIFIED: _ClassVar[Disposition]
    DISPOSITION_REPLAY: _ClassVar[Disposition]
    DISPOSITION_RELEASE: _ClassVar[Disposition]
    DISPOSITION_DISCARD: _ClassVar[Disposition]
DISPOSITION_UNSPECIFIED: Disposition
DISPOSITION_REPLAY: Disposition
DISPOSITION_RELEASE: Disposition
DISPOSITION_DISCARD: Disposition

class Participant(_message.Message):
    __slots__ = ("id", "name_zh", "name_en", "may_send", "may_receive", "certificate_names", "maintenance", "feeds")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_ZH_FIELD_NUMBER: _ClassVar[int]
    NAME_EN_FIELD_NUMBER: _ClassVar[int]
    MAY_SEND_FIELD_NUMBER: _ClassVar[int]
    MAY_RECEIVE_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_NAMES_FIELD_NUMBER: _ClassVar[int]
    MAINTENANCE_FIELD_NUMBER: _ClassVar[int]
    FEEDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name_zh: str
    name_en: str
    may_send: _containers.RepeatedScalarFieldContainer[str]
    may_receive: _containers.RepeatedScalarFieldContainer[str]
    certificate_names: _containers.RepeatedScalarFieldContainer[str]
    maintenance: MaintenanceWindow
    feeds: _containers.RepeatedCompositeFieldContainer[Feed]
    def __init__(self, id: _Optional[str] = ..., name_zh: _Optional[str] = ..., name_en: _Optional[str] = ..., may_send: _Optional[_Iterable[str]] = ..., may_receive: _Optional[_Iterable[str]] = ..., certificate_names: _Optional[_Iterable[str]] = ..., maintenance: _Optional[_Union[MaintenanceWindow, _Mapping]] = ..., feeds: _Optional[_Iterable[_Union[Feed, _Mapping]]] = ...) -> None: ...

class Feed(_message.Message):
    __slots__ = ("package", "has_everything", "residents_of")
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    HAS_EVERYTHING_FIELD_NUMBER: _ClassVar[int]
    RESIDENTS_OF_FIELD_NUMBER: _ClassVar[int]
    package: str
    has_everything: bool
    residents_of: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, package: _Optional[str] = ..., has_everything: _Optional[bool] = ..., residents_of: _Optional[_Iterable[str]] = ...) -> None: ...

class MaintenanceWindow(_message.Message):
    __slots__ = ("start_time", "end_time")
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ParticipantKey(_message.Message):
    __slots__ = ("participant", "key_id", "public_key", "not_before_time", "not_after_time")
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_TIME_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_TIME_FIELD_NUMBER: _ClassVar[int]
    participant: str
    key_id: str
    public_key: bytes
    not_before_time: _timestamp_pb2.Timestamp
    not_after_time: _timestamp_pb2.Timestamp
    def __init__(self, participant: _Optional[str] = ..., key_id: _Optional[str] = ..., public_key: _Optional[bytes] = ..., not_before_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., not_after_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class KeyRevocation(_message.Message):
    __slots__ = ("key_id", "revoked_time", "cause")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    REVOKED_TIME_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    revoked_time: _timestamp_pb2.Timestamp
    cause: str
    def __init__(self, key_id: _Optional[str] = ..., revoked_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cause: _Optional[str] = ...) -> None: ...

class MessageDisposition(_message.Message):
    __slots__ = ("partition", "sender", "id", "disposition", "cause")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    partition: int
    sender: str
    id: bytes
    disposition: Disposition
    cause: str
    def __init__(self, partition: _Optional[int] = ..., sender: _Optional[str] = ..., id: _Optional[bytes] = ..., disposition: _Optional[_Union[Disposition, str]] = ..., cause: _Optional[str] = ...) -> None: ...

class ControlRecord(_message.Message):
    __slots__ = ("number", "put_participant", "put_key", "revoke_key", "dispose_message")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PUT_PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    PUT_KEY_FIELD_NUMBER: _ClassVar[int]
    REVOKE_KEY_FIELD_NUMBER: _ClassVar[int]
    DISPOSE_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    number: int
    put_participant: Participant
    put_key: ParticipantKey
    revoke_key: KeyRevocation
    dispose_message: MessageDisposition
    def __init__(self, number: _Optional[int] = ..., put_participant: _Optional[_Union[Participant, _Mapping]] = ..., put_key: _Optional[_Union[ParticipantKey, _Mapping]] = ..., revoke_key: _Optional[_Union[KeyRevocation, _Mapping]] = ..., dispose_message: _Optional[_Union[MessageDisposition, _Mapping]] = ...) -> None: ...
