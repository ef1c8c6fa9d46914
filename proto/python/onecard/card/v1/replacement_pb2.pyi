import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from onecard.card.v1 import values_pb2 as _values_pb2
from onecard.exchange.v1 import options_pb2 as _options_pb2
from onecard.exchange.v1 import values_pb2 as _values_pb2_1
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReplacementStep(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLACEMENT_STEP_UNSPECIFIED: _ClassVar[ReplacementStep]
    REPLACEMENT_STEP_NEW_ENABLED: _ClassVar[ReplacementStep]
    REPLACEMENT_STEP_OLD_SUPERSEDED: _ClassVar[ReplacementStep]
    REPLACEMENT_STEP_ELECTRONIC_CARD_REBOUND: _ClassVar[ReplacementStep]
    REPLACEMENT_STEP_CREDENTIAL_FOLLOWED: _ClassVar[ReplacementStep]
    REPLACEMENT_STEP_MEDICAL_ACCOUNT_MOVED: _ClassVar[ReplacementStep]
    REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED: _ClassVar[ReplacementStep]

class StepDirection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STEP_DIRECTION_UNSPECIFIED: _ClassVar[StepDirection]
    STEP_DIRECTION_FORWARD: _ClassVar[StepDirection]
    STEP_DIRECTION_BACK: _ClassVar[StepDirection]
REPLACEMENT_STEP_UNSPECIFIED: ReplacementStep
REPLACEMENT_STEP_NEW_ENABLED: ReplacementStep
REPLACEMENT_STEP_OLD_SUPERSEDED: ReplacementStep
REPLACEMENT_STEP_ELECTRONIC_CARD_REBOUND: ReplacementStep
REPLACEMENT_STEP_CREDENTIAL_FOLLOWED: ReplacementStep
REPLACEMENT_STEP_MEDICAL_ACCOUNT_MOVED: ReplacementStep
REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED: ReplacementStep
STEP_DIRECTION_UNSPECIFIED: StepDirection
STEP_DIRECTION_FORWARD: StepDirection
STEP_DIRECTION_BACK: StepDirection

class CarryOutStepRequest(_message.Message):
    __slots__ = ("person", "replacement_id", "step", "direction", "old_card", "new_card")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    DIRECTION_FIELD_NUMBER: _ClassVar[int]
    OLD_CARD_FIELD_NUMBER: _ClassVar[int]
    NEW_CARD_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2_1.PersonIdentity
    replacement_id: str
    step: ReplacementStep
    direction: StepDirection
    old_card: _values_pb2.CardReference
    new_card: _values_pb2.CardReference
    def __init__(self, person: _Optional[_Union[_values_pb2_1.PersonIdentity, _Mapping]] = ..., replacement_id: _Optional[str] = ..., step: _Optional[_Union[ReplacementStep, str]] = ..., direction: _Optional[_Union[StepDirection, str]] = ..., old_card: _Optional[_Union[_values_pb2.CardReference, _Mapping]] = ..., new_card: _Optional[_Union[_values_pb2.CardReference, _Mapping]] = ...) -> None: ...

class CarryOutStepResponse(_message.Message):
    __slots__ = ("was_already", "done_time", "local_id")
    WAS_ALREADY_FIELD_NUMBER: _ClassVar[int]
    DONE_TIME_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ID_FIELD_NUMBER: _ClassVar[int]
    was_already: bool
    done_time: _timestamp_pb2.Timestamp
    local_id: str
    def __init__(self, was_already: _Optional[bool] = ..., done_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., local_id: _Optional[str] = ...) -> None: ...

class ConfirmBenefitAccountRequest(_message.Message):
    __slots__ = ("person", "replacement_id", "bank")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    BANK_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2_1.PersonIdentity
    replacement_id: str
    bank: str
    def __init__(self, person: _Optional[_Union[_values_pb2_1.PersonIdentity, _Mapping]] = ..., replacement_id: _Optional[str] = ..., bank: _Optional[str] = ...) -> None: ...

class ConfirmBenefitAccountResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AskAgainRequest(_message.Message):
    __slots__ = ("person", "replacement_id", "cause")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2_1.PersonIdentity
    replacement_id: str
    cause: str
    def __init__(self, person: _Optional[_Union[_values_pb2_1.PersonIdentity, _Mapping]] = ..., replacement_id: _Optional[str] = ..., cause: _Optional[str] = ...) -> None: ...

class AskAgainResponse(_message.Message):
    __slots__ = ("asked_count",)
    ASKED_COUNT_FIELD_NUMBER: _ClassVar[int]
    asked_count: int
    def __init__(self, asked_count: _Optional[int] = ...) -> None: ...
