import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from onecard.exchange.v1 import errors_pb2 as _errors_pb2
from onecard.exchange.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MessageKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_KIND_UNSPECIFIED: _ClassVar[MessageKind]
    MESSAGE_KIND_REQUEST: _ClassVar[MessageKind]
    MESSAGE_KIND_EVENT: _ClassVar[MessageKind]
    MESSAGE_KIND_REPLY: _ClassVar[MessageKind]
    MESSAGE_KIND_REJECTION: _ClassVar[MessageKind]
    MESSAGE_KIND_NOTICE: _ClassVar[MessageKind]
    MESSAGE_KIND_OUTCOME_REPORT: _ClassVar[MessageKind]
    MESSAGE_KIND_DELIVERY_REPORT: _ClassVar[MessageKind]
    MESSAGE_KIND_CONTROL: _ClassVar[MessageKind]

class OpenState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPEN_STATE_UNSPECIFIED: _ClassVar[OpenState]
    OPEN_STATE_WAITING: _ClassVar[OpenState]
    OPEN_STATE_UNKNOWN: _ClassVar[OpenState]
    OPEN_STATE_REVERSING: _ClassVar[OpenState]
    OPEN_STATE_HELD: _ClassVar[OpenState]
    OPEN_STATE_MANUAL: _ClassVar[OpenState]

class OutcomeState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_STATE_UNSPECIFIED: _ClassVar[OutcomeState]
    OUTCOME_STATE_DECIDED: _ClassVar[OutcomeState]
    OUTCOME_STATE_OPEN: _ClassVar[OutcomeState]
    OUTCOME_STATE_NEVER_SEEN: _ClassVar[OutcomeState]
MESSAGE_KIND_UNSPECIFIED: MessageKind
MESSAGE_KIND_REQUEST: MessageKind
MESSAGE_KIND_EVENT: MessageKind
MESSAGE_KIND_REPLY: MessageKind
MESSAGE_KIND_REJECTION: MessageKind
MESSAGE_KIND_NOTICE: MessageKind
MESSAGE_KIND_OUTCOME_REPORT: MessageKind
MESSAGE_KIND_DELIVERY_REPORT: MessageKind
MESSAGE_KIND_CONTROL: MessageKind
OPEN_STATE_UNSPECIFIED: OpenState
OPEN_STATE_WAITING: OpenState
OPEN_STATE_UNKNOWN: OpenState
OPEN_STATE_REVERSING: OpenState
OPEN_STATE_HELD: OpenState
OPEN_STATE_MANUAL: OpenState
OUTCOME_STATE_UNSPECIFIED: OutcomeState
OUTCOME_STATE_DECIDED: OutcomeState
OUTCOME_STATE_OPEN: OutcomeState
OUTCOME_STATE_NEVER_SEEN: OutcomeState

class RequestReference(_message.Message):
    __slots__ = ("sender", "id", "digest", "log_epoch", "partition")
    SENDER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LOG_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    sender: str
    id: bytes
    digest: bytes
    log_epoch: str
    partition: int
    def __init__(self, sender: _Optional[str] = ..., id: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., log_epoch: _Optional[str] = ..., partition: _Optional[int] = ...) -> None: ...

class MessageHeader(_message.Message):
    __slots__ = ("network", "sender", "recipient", "method", "kind", "id", "created_time", "execute_before", "payload_digest", "reply_to", "traceparent")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    EXECUTE_BEFORE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REPLY_TO_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    network: str
    sender: str
    recipient: str
    method: str
    kind: MessageKind
    id: bytes
    created_time: _timestamp_pb2.Timestamp
    execute_before: _timestamp_pb2.Timestamp
    payload_digest: bytes
    reply_to: RequestReference
    traceparent: str
    def __init__(self, network: _Optional[str] = ..., sender: _Optional[str] = ..., recipient: _Optional[str] = ..., method: _Optional[str] = ..., kind: _Optional[_Union[MessageKind, str]] = ..., id: _Optional[bytes] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., execute_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., payload_digest: _Optional[bytes] = ..., reply_to: _Optional[_Union[RequestReference, _Mapping]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class BatchProof(_message.Message):
    __slots__ = ("leaf_index", "leaf_count", "path")
    LEAF_INDEX_FIELD_NUMBER: _ClassVar[int]
    LEAF_COUNT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    leaf_index: int
    leaf_count: int
    path: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, leaf_index: _Optional[int] = ..., leaf_count: _Optional[int] = ..., path: _Optional[_Iterable[bytes]] = ...) -> None: ...

class SignatureBlock(_message.Message):
    __slots__ = ("key_id", "signature", "batch_proof")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    BATCH_PROOF_FIELD_NUMBER: _ClassVar[int]
    key_id: str
    signature: bytes
    batch_proof: BatchProof
    def __init__(self, key_id: _Optional[str] = ..., signature: _Optional[bytes] = ..., batch_proof: _Optional[_Union[BatchProof, _Mapping]] = ...) -> None: ...

class SignedMessage(_message.Message):
    __slots__ = ("header", "payload", "signature")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    header: bytes
    payload: bytes
    signature: bytes
    def __init__(self, header: _Optional[bytes] = ..., payload: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("network", "sender", "id", "digest", "admitted_time", "log_epoch", "partition", "position", "directory_version")
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ADMITTED_TIME_FIELD_NUMBER: _ClassVar[int]
    LOG_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_VERSION_FIELD_NUMBER: _ClassVar[int]
    network: str
    sender: str
    id: bytes
    digest: bytes
    admitted_time: _timestamp_pb2.Timestamp
    log_epoch: str
    partition: int
    position: int
    directory_version: int
    def __init__(self, network: _Optional[str] = ..., sender: _Optional[str] = ..., id: _Optional[bytes] = ..., digest: _Optional[bytes] = ..., admitted_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., log_epoch: _Optional[str] = ..., partition: _Optional[int] = ..., position: _Optional[int] = ..., directory_version: _Optional[int] = ...) -> None: ...

class SignedReceipt(_message.Message):
    __slots__ = ("receipt", "signature")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    receipt: bytes
    signature: bytes
    def __init__(self, receipt: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class FieldViolation(_message.Message):
    __slots__ = ("field", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("reason", "detail", "local_system", "local_code", "local_text", "violations")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    LOCAL_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    LOCAL_CODE_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TEXT_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    reason: _errors_pb2.ErrorReason
    detail: str
    local_system: str
    local_code: str
    local_text: str
    violations: _containers.RepeatedCompositeFieldContainer[FieldViolation]
    def __init__(self, reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., detail: _Optional[str] = ..., local_system: _Optional[str] = ..., local_code: _Optional[str] = ..., local_text: _Optional[str] = ..., violations: _Optional[_Iterable[_Union[FieldViolation, _Mapping]]] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("state", "reason", "detail")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    state: OpenState
    reason: _errors_pb2.ErrorReason
    detail: str
    def __init__(self, state: _Optional[_Union[OpenState, str]] = ..., reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., detail: _Optional[str] = ...) -> None: ...

class OutcomeReport(_message.Message):
    __slots__ = ("state", "open_state", "answer")
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPEN_STATE_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    state: OutcomeState
    open_state: OpenState
    answer: SignedMessage
    def __init__(self, state: _Optional[_Union[OutcomeState, str]] = ..., open_state: _Optional[_Union[OpenState, str]] = ..., answer: _Optional[_Union[SignedMessage, _Mapping]] = ...) -> None: ...

class DeliveryReport(_message.Message):
    __slots__ = ("reason", "detail", "attempt_count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: _errors_pb2.ErrorReason
    detail: str
    attempt_count: int
    def __init__(self, reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., detail: _Optional[str] = ..., attempt_count: _Optional[int] = ...) -> None: ...
