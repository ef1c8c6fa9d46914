import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from onecard.exchange.v1 import options_pb2 as _options_pb2
from onecard.exchange.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SocialState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SOCIAL_STATE_UNSPECIFIED: _ClassVar[SocialState]
    SOCIAL_STATE_PRODUCED: _ClassVar[SocialState]
    SOCIAL_STATE_ACTIVE: _ClassVar[SocialState]
    SOCIAL_STATE_TEMPORARILY_LOST: _ClassVar[SocialState]
    SOCIAL_STATE_LOST: _ClassVar[SocialState]
    SOCIAL_STATE_LOCKED: _ClassVar[SocialState]
    SOCIAL_STATE_CANCELLED: _ClassVar[SocialState]
    SOCIAL_STATE_SUPERSEDED: _ClassVar[SocialState]

class FinancialState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINANCIAL_STATE_UNSPECIFIED: _ClassVar[FinancialState]
    FINANCIAL_STATE_NOT_ACTIVATED: _ClassVar[FinancialState]
    FINANCIAL_STATE_ACTIVE: _ClassVar[FinancialState]
    FINANCIAL_STATE_FROZEN: _ClassVar[FinancialState]
    FINANCIAL_STATE_LOST: _ClassVar[FinancialState]
    FINANCIAL_STATE_CLOSED: _ClassVar[FinancialState]
SOCIAL_STATE_UNSPECIFIED: SocialState
SOCIAL_STATE_PRODUCED: SocialState
SOCIAL_STATE_ACTIVE: SocialState
SOCIAL_STATE_TEMPORARILY_LOST: SocialState
SOCIAL_STATE_LOST: SocialState
SOCIAL_STATE_LOCKED: SocialState
SOCIAL_STATE_CANCELLED: SocialState
SOCIAL_STATE_SUPERSEDED: SocialState
FINANCIAL_STATE_UNSPECIFIED: FinancialState
FINANCIAL_STATE_NOT_ACTIVATED: FinancialState
FINANCIAL_STATE_ACTIVE: FinancialState
FINANCIAL_STATE_FROZEN: FinancialState
FINANCIAL_STATE_LOST: FinancialState
FINANCIAL_STATE_CLOSED: FinancialState

class CardReference(_message.Message):
    __slots__ = ("issuer", "number", "sequence")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    number: str
    sequence: int
    def __init__(self, issuer: _Optional[str] = ..., number: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class CardData(_message.Message):
    __slots__ = ("generation", "specification_version", "card_class", "recognition_code", "institution_code", "issue_day", "expiry_day", "is_contactless", "has_transit_mark", "certificate_serial", "production_kind", "production_way", "bank", "bank_card_number", "residence_area", "photo_digest", "electronic_card_id")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    SPECIFICATION_VERSION_FIELD_NUMBER: _ClassVar[int]
    CARD_CLASS_FIELD_NUMBER: _ClassVar[int]
    RECOGNITION_CODE_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_CODE_FIELD_NUMBER: _ClassVar[int]
    ISSUE_DAY_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_DAY_FIELD_NUMBER: _ClassVar[int]
    IS_CONTACTLESS_FIELD_NUMBER: _ClassVar[int]
    HAS_TRANSIT_MARK_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_SERIAL_FIELD_NUMBER: _ClassVar[int]
    PRODUCTION_KIND_FIELD_NUMBER: _ClassVar[int]
    PRODUCTION_WAY_FIELD_NUMBER: _ClassVar[int]
    BANK_FIELD_NUMBER: _ClassVar[int]
    BANK_CARD_NUMBER_FIELD_NUMBER: _ClassVar[int]
    RESIDENCE_AREA_FIELD_NUMBER: _ClassVar[int]
    PHOTO_DIGEST_FIELD_NUMBER: _ClassVar[int]
    ELECTRONIC_CARD_ID_FIELD_NUMBER: _ClassVar[int]
    generation: int
    specification_version: str
    card_class: str
    recognition_code: str
    institution_code: str
    issue_day: _values_pb2.CalendarDay
    expiry_day: _values_pb2.CalendarDay
    is_contactless: bool
    has_transit_mark: bool
    certificate_serial: str
    production_kind: _values_pb2.CodedValue
    production_way: _values_pb2.CodedValue
    bank: str
    bank_card_number: str
    residence_area: str
    photo_digest: bytes
    electronic_card_id: str
    def __init__(self, generation: _Optional[int] = ..., specification_version: _Optional[str] = ..., card_class: _Optional[str] = ..., recognition_code: _Optional[str] = ..., institution_code: _Optional[str] = ..., issue_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., expiry_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., is_contactless: _Optional[bool] = ..., has_transit_mark: _Optional[bool] = ..., certificate_serial: _Optional[str] = ..., production_kind: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., production_way: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., bank: _Optional[str] = ..., bank_card_number: _Optional[str] = ..., residence_area: _Optional[str] = ..., photo_digest: _Optional[bytes] = ..., electronic_card_id: _Optional[str] = ...) -> None: ...

class HolderDetails(_message.Message):
    __slots__ = ("name", "social_security_number", "sex", "ethnicity", "birth_day", "nationality")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_SECURITY_NUMBER_FIELD_NUMBER: _ClassVar[int]
    SEX_FIELD_NUMBER: _ClassVar[int]
    ETHNICITY_FIELD_NUMBER: _ClassVar[int]
    BIRTH_DAY_FIELD_NUMBER: _ClassVar[int]
    NATIONALITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    social_security_number: str
    sex: _values_pb2.CodedValue
    ethnicity: _values_pb2.CodedValue
    birth_day: _values_pb2.CalendarDay
    nationality: _values_pb2.CodedValue
    def __init__(self, name: _Optional[str] = ..., social_security_number: _Optional[str] = ..., sex: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., ethnicity: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., birth_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., nationality: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ...) -> None: ...

class CardStanding(_message.Message):
    __slots__ = ("card", "social_state", "social_version", "social_local_status", "financial_state", "financial_version", "financial_local_status", "bank", "changed_time", "generation", "expiry_day", "data_digest")
    CARD_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_STATE_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_LOCAL_STATUS_FIELD_NUMBER: _ClassVar[int]
    FINANCIAL_STATE_FIELD_NUMBER: _ClassVar[int]
    FINANCIAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    FINANCIAL_LOCAL_STATUS_FIELD_NUMBER: _ClassVar[int]
    BANK_FIELD_NUMBER: _ClassVar[int]
    CHANGED_TIME_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_DAY_FIELD_NUMBER: _ClassVar[int]
    DATA_DIGEST_FIELD_NUMBER: _ClassVar[int]
    card: CardReference
    social_state: SocialState
    social_version: int
    social_local_status: _values_pb2.CodedValue
    financial_state: FinancialState
    financial_version: int
    financial_local_status: _values_pb2.CodedValue
    bank: str
    changed_time: _timestamp_pb2.Timestamp
    generation: int
    expiry_day: _values_pb2.CalendarDay
    data_digest: bytes
    def __init__(self, card: _Optional[_Union[CardReference, _Mapping]] = ..., social_state: _Optional[_Union[SocialState, str]] = ..., social_version: _Optional[int] = ..., social_local_status: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., financial_state: _Optional[_Union[FinancialState, str]] = ..., financial_version: _Optional[int] = ..., financial_local_status: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., bank: _Optional[str] = ..., changed_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., generation: _Optional[int] = ..., expiry_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., data_digest: _Optional[bytes] = ...) -> None: ...
