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

class SocialChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOCIAL_CHANGE_UNSPECIFIED: _ClassVar[SocialChange]
    SOCIAL_CHANGE_PRODUCED: _ClassVar[SocialChange]
    SOCIAL_CHANGE_ISSUED: _ClassVar[SocialChange]
    SOCIAL_CHANGE_ENABLED: _ClassVar[SocialChange]
    SOCIAL_CHANGE_TEMPORARILY_LOST: _ClassVar[SocialChange]
    SOCIAL_CHANGE_LOST: _ClassVar[SocialChange]
    SOCIAL_CHANGE_FOUND: _ClassVar[SocialChange]
    SOCIAL_CHANGE_LOCKED: _ClassVar[SocialChange]
    SOCIAL_CHANGE_UNLOCKED: _ClassVar[SocialChange]
    SOCIAL_CHANGE_CANCELLED: _ClassVar[SocialChange]
    SOCIAL_CHANGE_SUPERSEDED: _ClassVar[SocialChange]
    SOCIAL_CHANGE_DATA_CHANGED: _ClassVar[SocialChange]

class FinancialChange(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINANCIAL_CHANGE_UNSPECIFIED: _ClassVar[FinancialChange]
    FINANCIAL_CHANGE_OPENED: _ClassVar[FinancialChange]
    FINANCIAL_CHANGE_ACTIVATED: _ClassVar[FinancialChange]
    FINANCIAL_CHANGE_FROZEN: _ClassVar[FinancialChange]
    FINANCIAL_CHANGE_UNFROZEN: _ClassVar[FinancialChange]
    FINANCIAL_CHANGE_LOST: _ClassVar[FinancialChange]
    FINANCIAL_CHANGE_FOUND: _ClassVar[FinancialChange]
    FINANCIAL_CHANGE_CLOSED: _ClassVar[FinancialChange]
    FINANCIAL_CHANGE_DATA_CHANGED: _ClassVar[FinancialChange]

class CardMachine(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CARD_MACHINE_UNSPECIFIED: _ClassVar[CardMachine]
    CARD_MACHINE_SOCIAL: _ClassVar[CardMachine]
    CARD_MACHINE_FINANCIAL: _ClassVar[CardMachine]
SOCIAL_CHANGE_UNSPECIFIED: SocialChange
SOCIAL_CHANGE_PRODUCED: SocialChange
SOCIAL_CHANGE_ISSUED: SocialChange
SOCIAL_CHANGE_ENABLED: SocialChange
SOCIAL_CHANGE_TEMPORARILY_LOST: SocialChange
SOCIAL_CHANGE_LOST: SocialChange
SOCIAL_CHANGE_FOUND: SocialChange
SOCIAL_CHANGE_LOCKED: SocialChange
SOCIAL_CHANGE_UNLOCKED: SocialChange
SOCIAL_CHANGE_CANCELLED: SocialChange
SOCIAL_CHANGE_SUPERSEDED: SocialChange
SOCIAL_CHANGE_DATA_CHANGED: SocialChange
FINANCIAL_CHANGE_UNSPECIFIED: FinancialChange
FINANCIAL_CHANGE_OPENED: FinancialChange
FINANCIAL_CHANGE_ACTIVATED: FinancialChange
FINANCIAL_CHANGE_FROZEN: FinancialChange
FINANCIAL_CHANGE_UNFROZEN: FinancialChange
FINANCIAL_CHANGE_LOST: FinancialChange
FINANCIAL_CHANGE_FOUND: FinancialChange
FINANCIAL_CHANGE_CLOSED: FinancialChange
FINANCIAL_CHANGE_DATA_CHANGED: FinancialChange
CARD_MACHINE_UNSPECIFIED: CardMachine
CARD_MACHINE_SOCIAL: CardMachine
CARD_MACHINE_FINANCIAL: CardMachine

class ReportSocialChangeRequest(_message.Message):
    __slots__ = ("person", "card", "version", "change", "state", "occurred_time", "local_status", "data", "holder", "replaces")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_TIME_FIELD_NUMBER: _ClassVar[int]
    LOCAL_STATUS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    REPLACES_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2_1.PersonIdentity
    card: _values_pb2.CardReference
    version: int
    change: SocialChange
    state: _values_pb2.SocialState
    occurred_time: _timestamp_pb2.Timestamp
    local_status: _values_pb2_1.CodedValue
    data: _values_pb2.CardData
    holder: _values_pb2.HolderDetails
    replaces: _values_pb2.CardReference
    def __init__(self, person: _Optional[_Union[_values_pb2_1.PersonIdentity, _Mapping]] = ..., card: _Optional[_Union[_values_pb2.CardReference, _Mapping]] = ..., version: _Optional[int] = ..., change: _Optional[_Union[SocialChange, str]] = ..., state: _Optional[_Union[_values_pb2.SocialState, str]] = ..., occurred_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., local_status: _Optional[_Union[_values_pb2_1.CodedValue, _Mapping]] = ..., data: _Optional[_Union[_values_pb2.CardData, _Mapping]] = ..., holder: _Optional[_Union[_values_pb2.HolderDetails, _Mapping]] = ..., replaces: _Optional[_Union[_values_pb2.CardReference, _Mapping]] = ...) -> None: ...

class ReportSocialChangeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReportFinancialChangeRequest(_message.Message):
    __slots__ = ("person", "card", "version", "change", "state", "occurred_time", "local_status", "bank_card_number")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_TIME_FIELD_NUMBER: _ClassVar[int]
    LOCAL_STATUS_FIELD_NUMBER: _ClassVar[int]
    BANK_CARD_NUMBER_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2_1.PersonIdentity
    card: _values_pb2.CardReference
    version: int
    change: FinancialChange
    state: _values_pb2.FinancialState
    occurred_time: _timestamp_pb2.Timestamp
    local_status: _values_pb2_1.CodedValue
    bank_card_number: str
    def __init__(self, person: _Optional[_Union[_values_pb2_1.PersonIdentity, _Mapping]] = ..., card: _Optional[_Union[_values_pb2.CardReference, _Mapping]] = ..., version: _Optional[int] = ..., change: _Optional[_Union[FinancialChange, str]] = ..., state: _Optional[_Union[_values_pb2.FinancialState, str]] = ..., occurred_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., local_status: _Optional[_Union[_values_pb2_1.CodedValue, _Mapping]] = ..., bank_card_number: _Optional[str] = ...) -> None: ...

class ReportFinancialChangeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RequestVersionsRequest(_message.Message):
    __slots__ = ("card", "machine", "first_version", "last_version", "person")
    CARD_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    FIRST_VERSION_FIELD_NUMBER: _ClassVar[int]
    LAST_VERSION_FIELD_NUMBER: _ClassVar[int]
    PERSON_FIELD_NUMBER: _ClassVar[int]
    card: _values_pb2.CardReference
    machine: CardMachine
    first_version: int
    last_version: int
    person: _values_pb2_1.PersonIdentity
    def __init__(self, card: _Optional[_Union[_values_pb2.CardReference, _Mapping]] = ..., machine: _Optional[_Union[CardMachine, str]] = ..., first_version: _Optional[int] = ..., last_version: _Optional[int] = ..., person: _Optional[_Union[_values_pb2_1.PersonIdentity, _Mapping]] = ...) -> None: ...

class RequestVersionsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
