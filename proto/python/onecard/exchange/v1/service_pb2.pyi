import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from onecard.exchange.v1 import control_pb2 as _control_pb2
from onecard.exchange.v1 import errors_pb2 as _errors_pb2
from onecard.exchange.v1 import message_pb2 as _message_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitBatchRequest(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[_message_pb2.SignedMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[_message_pb2.SignedMessage, _Mapping]]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("reason", "detail", "violations", "retry_after_ms")
    REASON_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    reason: _errors_pb2.ErrorReason
    detail: str
    violations: _containers.RepeatedCompositeFieldContainer[_message_pb2.FieldViolation]
    retry_after_ms: int
    def __init__(self, reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., detail: _Optional[str] = ..., violations: _Optional[_Iterable[_Union[_message_pb2.FieldViolation, _Mapping]]] = ..., retry_after_ms: _Optional[int] = ...) -> None: ...

class SubmitResult(_message.Message):
    __slots__ = ("receipt", "refusal")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    receipt: _message_pb2.SignedReceipt
    refusal: Refusal
    def __init__(self, receipt: _Optional[_Union[_message_pb2.SignedReceipt, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class SubmitBatchResponse(_message.Message):
    __slots__ = ("results", "gathering_ms", "journaling_ms", "holding_ms")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    GATHERING_MS_FIELD_NUMBER: _ClassVar[int]
    JOURNALING_MS_FIELD_NUMBER: _ClassVar[int]
    HOLDING_MS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SubmitResult]
    gathering_ms: int
    journaling_ms: int
    holding_ms: int
    def __init__(self, results: _Optional[_Iterable[_Union[SubmitResult, _Mapping]]] = ..., gathering_ms: _Optional[int] = ..., journaling_ms: _Optional[int] = ..., holding_ms: _Optional[int] = ...) -> None: ...

class GetOutcomeRequest(_message.Message):
    __slots__ = ("original",)
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    original: _message_pb2.SignedMessage
    def __init__(self, original: _Optional[_Union[_message_pb2.SignedMessage, _Mapping]] = ...) -> None: ...

class GetOutcomeResponse(_message.Message):
    __slots__ = ("report",)
    REPORT_FIELD_NUMBER: _ClassVar[int]
    report: _message_pb2.SignedMessage
    def __init__(self, report: _Optional[_Union[_message_pb2.SignedMessage, _Mapping]] = ...) -> None: ...

class DeliveryOpening(_message.Message):
    __slots__ = ("participant", "cursor", "credit_count")
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    CREDIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    participant: str
    cursor: bytes
    credit_count: int
    def __init__(self, participant: _Optional[str] = ..., cursor: _Optional[bytes] = ..., credit_count: _Optional[int] = ...) -> None: ...

class DeliverRequest(_message.Message):
    __slots__ = ("opening", "credit_count", "received_cursor")
    OPENING_FIELD_NUMBER: _ClassVar[int]
    CREDIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_CURSOR_FIELD_NUMBER: _ClassVar[int]
    opening: DeliveryOpening
    credit_count: int
    received_cursor: bytes
    def __init__(self, opening: _Optional[_Union[DeliveryOpening, _Mapping]] = ..., credit_count: _Optional[int] = ..., received_cursor: _Optional[bytes] = ...) -> None: ...

class Delivery(_message.Message):
    __slots__ = ("partition", "number", "message")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    partition: int
    number: int
    message: _message_pb2.SignedMessage
    def __init__(self, partition: _Optional[int] = ..., number: _Optional[int] = ..., message: _Optional[_Union[_message_pb2.SignedMessage, _Mapping]] = ...) -> None: ...

class DeliveryBatch(_message.Message):
    __slots__ = ("deliveries", "cursor")
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    cursor: bytes
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ..., cursor: _Optional[bytes] = ...) -> None: ...

class PartitionWatermark(_message.Message):
    __slots__ = ("partition", "number")
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    partition: int
    number: int
    def __init__(self, partition: _Optional[int] = ..., number: _Optional[int] = ...) -> None: ...

class DeliveryTick(_message.Message):
    __slots__ = ("hub_time", "watermarks")
    HUB_TIME_FIELD_NUMBER: _ClassVar[int]
    WATERMARKS_FIELD_NUMBER: _ClassVar[int]
    hub_time: _timestamp_pb2.Timestamp
    watermarks: _containers.RepeatedCompositeFieldContainer[PartitionWatermark]
    def __init__(self, hub_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., watermarks: _Optional[_Iterable[_Union[PartitionWatermark, _Mapping]]] = ...) -> None: ...

class DeliveryOpened(_message.Message):
    __slots__ = ("log_epoch", "hub_time")
    LOG_EPOCH_FIELD_NUMBER: _ClassVar[int]
    HUB_TIME_FIELD_NUMBER: _ClassVar[int]
    log_epoch: str
    hub_time: _timestamp_pb2.Timestamp
    def __init__(self, log_epoch: _Optional[str] = ..., hub_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DeliverResponse(_message.Message):
    __slots__ = ("opened", "batch", "tick")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    opened: DeliveryOpened
    batch: DeliveryBatch
    tick: DeliveryTick
    def __init__(self, opened: _Optional[_Union[DeliveryOpened, _Mapping]] = ..., batch: _Optional[_Union[DeliveryBatch, _Mapping]] = ..., tick: _Optional[_Union[DeliveryTick, _Mapping]] = ...) -> None: ...

class ReadOutputsRequest(_message.Message):
    __slots__ = ("participant", "partition", "first_number", "last_number")
    PARTICIPANT_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    FIRST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    LAST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    participant: str
    partition: int
    first_number: int
    last_number: int
    def __init__(self, participant: _Optional[str] = ..., partition: _Optional[int] = ..., first_number: _Optional[int] = ..., last_number: _Optional[int] = ...) -> None: ...

class ReadOutputsResponse(_message.Message):
    __slots__ = ("deliveries",)
    DELIVERIES_FIELD_NUMBER: _ClassVar[int]
    deliveries: _containers.RepeatedCompositeFieldContainer[Delivery]
    def __init__(self, deliveries: _Optional[_Iterable[_Union[Delivery, _Mapping]]] = ...) -> None: ...

class WatchDirectoryRequest(_message.Message):
    __slots__ = ("first_number",)
    FIRST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    first_number: int
    def __init__(self, first_number: _Optional[int] = ...) -> None: ...

class WatchDirectoryResponse(_message.Message):
    __slots__ = ("record", "newest_number", "hub_time")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    NEWEST_NUMBER_FIELD_NUMBER: _ClassVar[int]
    HUB_TIME_FIELD_NUMBER: _ClassVar[int]
    record: _message_pb2.SignedMessage
    newest_number: int
    hub_time: _timestamp_pb2.Timestamp
    def __init__(self, record: _Optional[_Union[_message_pb2.SignedMessage, _Mapping]] = ..., newest_number: _Optional[int] = ..., hub_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListParticipantsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListParticipantsResponse(_message.Message):
    __slots__ = ("participants", "keys", "revocations", "directory_version")
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    REVOCATIONS_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_VERSION_FIELD_NUMBER: _ClassVar[int]
    participants: _containers.RepeatedCompositeFieldContainer[_control_pb2.Participant]
    keys: _containers.RepeatedCompositeFieldContainer[_control_pb2.ParticipantKey]
    revocations: _containers.RepeatedCompositeFieldContainer[_control_pb2.KeyRevocation]
    directory_version: int
    def __init__(self, participants: _Optional[_Iterable[_Union[_control_pb2.Participant, _Mapping]]] = ..., keys: _Optional[_Iterable[_Union[_control_pb2.ParticipantKey, _Mapping]]] = ..., revocations: _Optional[_Iterable[_Union[_control_pb2.KeyRevocation, _Mapping]]] = ..., directory_version: _Optional[int] = ...) -> None: ...
