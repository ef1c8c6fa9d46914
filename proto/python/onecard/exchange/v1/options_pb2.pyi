from google.protobuf.internal import extension_dict as _extension_dict
from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MethodKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    METHOD_KIND_UNSPECIFIED: _ClassVar[MethodKind]
    METHOD_KIND_REQUEST: _ClassVar[MethodKind]
    METHOD_KIND_EVENT: _ClassVar[MethodKind]
    METHOD_KIND_READ: _ClassVar[MethodKind]

class ParticipantRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARTICIPANT_ROLE_UNSPECIFIED: _ClassVar[ParticipantRole]
    PARTICIPANT_ROLE_PROVINCE: _ClassVar[ParticipantRole]
    PARTICIPANT_ROLE_HUB: _ClassVar[ParticipantRole]
    PARTICIPANT_ROLE_BANK: _ClassVar[ParticipantRole]

class ErrorFault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_FAULT_UNSPECIFIED: _ClassVar[ErrorFault]
    ERROR_FAULT_SENDER: _ClassVar[ErrorFault]
    ERROR_FAULT_RECIPIENT: _ClassVar[ErrorFault]
    ERROR_FAULT_HUB: _ClassVar[ErrorFault]
    ERROR_FAULT_BUSINESS: _ClassVar[ErrorFault]
METHOD_KIND_UNSPECIFIED: MethodKind
METHOD_KIND_REQUEST: MethodKind
METHOD_KIND_EVENT: MethodKind
METHOD_KIND_READ: MethodKind
PARTICIPANT_ROLE_UNSPECIFIED: ParticipantRole
PARTICIPANT_ROLE_PROVINCE: ParticipantRole
PARTICIPANT_ROLE_HUB: ParticipantRole
PARTICIPANT_ROLE_BANK: ParticipantRole
ERROR_FAULT_UNSPECIFIED: ErrorFault
ERROR_FAULT_SENDER: ErrorFault
ERROR_FAULT_RECIPIENT: ErrorFault
ERROR_FAULT_HUB: ErrorFault
ERROR_FAULT_BUSINESS: ErrorFault
POLICY_FIELD_NUMBER: _ClassVar[int]
policy: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.MethodOptions, MethodPolicy]
SENSITIVE_FIELD_NUMBER: _ClassVar[int]
sensitive: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.FieldOptions, bool]
SUBJECT_FIELD_NUMBER: _ClassVar[int]
subject: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.FieldOptions, bool]
OTHER_SUBJECT_FIELD_NUMBER: _ClassVar[int]
other_subject: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.FieldOptions, bool]
ACCESS_PURPOSE_FIELD_NUMBER: _ClassVar[int]
access_purpose: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.FieldOptions, bool]
ERROR_FIELD_NUMBER: _ClassVar[int]
error: _extension_dict._ExtensionFieldDescriptor[_descriptor_pb2.EnumValueOptions, ErrorPolicy]

class MethodPolicy(_message.Message):
    __slots__ = ("kind", "senders", "recipients", "has_effect", "carries_execute_before", "longest_duration_ms", "reversing_method", "payload_bytes_max", "is_published")
    KIND_FIELD_NUMBER: _ClassVar[int]
    SENDERS_FIELD_NUMBER: _ClassVar[int]
    RECIPIENTS_FIELD_NUMBER: _ClassVar[int]
    HAS_EFFECT_FIELD_NUMBER: _ClassVar[int]
    CARRIES_EXECUTE_BEFORE_FIELD_NUMBER: _ClassVar[int]
    LONGEST_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    REVERSING_METHOD_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    IS_PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    kind: MethodKind
    senders: _containers.RepeatedScalarFieldContainer[ParticipantRole]
    recipients: _containers.RepeatedScalarFieldContainer[ParticipantRole]
    has_effect: bool
    carries_execute_before: bool
    longest_duration_ms: int
    reversing_method: str
    payload_bytes_max: int
    is_published: bool
    def __init__(self, kind: _Optional[_Union[MethodKind, str]] = ..., senders: _Optional[_Iterable[_Union[ParticipantRole, str]]] = ..., recipients: _Optional[_Iterable[_Union[ParticipantRole, str]]] = ..., has_effect: _Optional[bool] = ..., carries_execute_before: _Optional[bool] = ..., longest_duration_ms: _Optional[int] = ..., reversing_method: _Optional[str] = ..., payload_bytes_max: _Optional[int] = ..., is_published: _Optional[bool] = ...) -> None: ...

class ErrorPolicy(_message.Message):
    __slots__ = ("fault", "retryable", "text_en", "text_zh", "status")
    FAULT_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_EN_FIELD_NUMBER: _ClassVar[int]
    TEXT_ZH_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    fault: ErrorFault
    retryable: bool
    text_en: str
    text_zh: str
    status: str
    def __init__(self, fault: _Optional[_Union[ErrorFault, str]] = ..., retryable: _Optional[bool] = ..., text_en: _Optional[str] = ..., text_zh: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...
