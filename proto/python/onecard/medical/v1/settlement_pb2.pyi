import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from onecard.exchange.v1 import errors_pb2 as _errors_pb2
from onecard.exchange.v1 import options_pb2 as _options_pb2
from onecard.exchange.v1 import values_pb2 as _values_pb2
from onecard.medical.v1 import values_pb2 as _values_pb2_1
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReversalResult(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVERSAL_RESULT_UNSPECIFIED: _ClassVar[ReversalResult]
    REVERSAL_RESULT_REVERSED: _ClassVar[ReversalResult]
    REVERSAL_RESULT_NEVER_EXECUTED: _ClassVar[ReversalResult]

class SettlementFinding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SETTLEMENT_FINDING_UNSPECIFIED: _ClassVar[SettlementFinding]
    SETTLEMENT_FINDING_EXECUTED: _ClassVar[SettlementFinding]
    SETTLEMENT_FINDING_NOT_FOUND: _ClassVar[SettlementFinding]
    SETTLEMENT_FINDING_UNDONE: _ClassVar[SettlementFinding]
    SETTLEMENT_FINDING_IN_DOUBT: _ClassVar[SettlementFinding]
REVERSAL_RESULT_UNSPECIFIED: ReversalResult
REVERSAL_RESULT_REVERSED: ReversalResult
REVERSAL_RESULT_NEVER_EXECUTED: ReversalResult
SETTLEMENT_FINDING_UNSPECIFIED: SettlementFinding
SETTLEMENT_FINDING_EXECUTED: SettlementFinding
SETTLEMENT_FINDING_NOT_FOUND: SettlementFinding
SETTLEMENT_FINDING_UNDONE: SettlementFinding
SETTLEMENT_FINDING_IN_DOUBT: SettlementFinding

class SettlementTerms(_message.Message):
    __slots__ = ("insured_number", "encounter", "institution", "care_kind", "insurance_kind", "filing_id", "filing_type", "first_day", "last_day", "interim_period", "fees", "line_count", "uses_personal_account", "settlement_way", "credential", "local_transaction_id", "filing_first_day", "filing_last_day")
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENCOUNTER_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_FIELD_NUMBER: _ClassVar[int]
    CARE_KIND_FIELD_NUMBER: _ClassVar[int]
    INSURANCE_KIND_FIELD_NUMBER: _ClassVar[int]
    FILING_ID_FIELD_NUMBER: _ClassVar[int]
    FILING_TYPE_FIELD_NUMBER: _ClassVar[int]
    FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    LAST_DAY_FIELD_NUMBER: _ClassVar[int]
    INTERIM_PERIOD_FIELD_NUMBER: _ClassVar[int]
    FEES_FIELD_NUMBER: _ClassVar[int]
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    USES_PERSONAL_ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_WAY_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    FILING_FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    FILING_LAST_DAY_FIELD_NUMBER: _ClassVar[int]
    insured_number: _values_pb2_1.InsuredNumber
    encounter: _values_pb2_1.EncounterReference
    institution: _values_pb2_1.Institution
    care_kind: _values_pb2.CodedValue
    insurance_kind: _values_pb2.CodedValue
    filing_id: str
    filing_type: _values_pb2.CodedValue
    first_day: _values_pb2.CalendarDay
    last_day: _values_pb2.CalendarDay
    interim_period: InterimPeriod
    fees: _values_pb2_1.FeeTotals
    line_count: int
    uses_personal_account: bool
    settlement_way: _values_pb2.CodedValue
    credential: _values_pb2_1.Credential
    local_transaction_id: str
    filing_first_day: _values_pb2.CalendarDay
    filing_last_day: _values_pb2.CalendarDay
    def __init__(self, insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., encounter: _Optional[_Union[_values_pb2_1.EncounterReference, _Mapping]] = ..., institution: _Optional[_Union[_values_pb2_1.Institution, _Mapping]] = ..., care_kind: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., insurance_kind: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., filing_id: _Optional[str] = ..., filing_type: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., first_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., last_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., interim_period: _Optional[_Union[InterimPeriod, _Mapping]] = ..., fees: _Optional[_Union[_values_pb2_1.FeeTotals, _Mapping]] = ..., line_count: _Optional[int] = ..., uses_personal_account: _Optional[bool] = ..., settlement_way: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., credential: _Optional[_Union[_values_pb2_1.Credential, _Mapping]] = ..., local_transaction_id: _Optional[str] = ..., filing_first_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., filing_last_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ...) -> None: ...

class InterimPeriod(_message.Message):
    __slots__ = ("first_day", "last_day")
    FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    LAST_DAY_FIELD_NUMBER: _ClassVar[int]
    first_day: _values_pb2.CalendarDay
    last_day: _values_pb2.CalendarDay
    def __init__(self, first_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., last_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ...) -> None: ...

class PreSettleRequest(_message.Message):
    __slots__ = ("person", "terms")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    terms: SettlementTerms
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., terms: _Optional[_Union[SettlementTerms, _Mapping]] = ...) -> None: ...

class PreSettleResponse(_message.Message):
    __slots__ = ("split",)
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    split: _values_pb2_1.SettlementSplit
    def __init__(self, split: _Optional[_Union[_values_pb2_1.SettlementSplit, _Mapping]] = ...) -> None: ...

class SettleRequest(_message.Message):
    __slots__ = ("person", "terms", "pre_settlement_id", "invoice_number")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    PRE_SETTLEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    INVOICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    terms: SettlementTerms
    pre_settlement_id: str
    invoice_number: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., terms: _Optional[_Union[SettlementTerms, _Mapping]] = ..., pre_settlement_id: _Optional[str] = ..., invoice_number: _Optional[str] = ...) -> None: ...

class SettleResponse(_message.Message):
    __slots__ = ("settlement_id", "settled_time", "split", "local_transaction_id")
    SETTLEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SETTLED_TIME_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    settlement_id: str
    settled_time: _timestamp_pb2.Timestamp
    split: _values_pb2_1.SettlementSplit
    local_transaction_id: str
    def __init__(self, settlement_id: _Optional[str] = ..., settled_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., split: _Optional[_Union[_values_pb2_1.SettlementSplit, _Mapping]] = ..., local_transaction_id: _Optional[str] = ...) -> None: ...

class CancelSettlementRequest(_message.Message):
    __slots__ = ("person", "insured_number", "encounter", "original_id", "settlement_id", "local_transaction_id")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENCOUNTER_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_ID_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    encounter: _values_pb2_1.EncounterReference
    original_id: str
    settlement_id: str
    local_transaction_id: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., encounter: _Optional[_Union[_values_pb2_1.EncounterReference, _Mapping]] = ..., original_id: _Optional[str] = ..., settlement_id: _Optional[str] = ..., local_transaction_id: _Optional[str] = ...) -> None: ...

class CancelSettlementResponse(_message.Message):
    __slots__ = ("red_settlement_id", "settlement_id", "cancelled_time", "split")
    RED_SETTLEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_TIME_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    red_settlement_id: str
    settlement_id: str
    cancelled_time: _timestamp_pb2.Timestamp
    split: _values_pb2_1.SettlementSplit
    def __init__(self, red_settlement_id: _Optional[str] = ..., settlement_id: _Optional[str] = ..., cancelled_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., split: _Optional[_Union[_values_pb2_1.SettlementSplit, _Mapping]] = ...) -> None: ...

class ReverseRequest(_message.Message):
    __slots__ = ("person", "insured_number", "original_id", "original_method", "original_local_transaction_id", "local_transaction_id", "encounter")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_METHOD_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    ENCOUNTER_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    original_id: str
    original_method: str
    original_local_transaction_id: str
    local_transaction_id: str
    encounter: _values_pb2_1.EncounterReference
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., original_id: _Optional[str] = ..., original_method: _Optional[str] = ..., original_local_transaction_id: _Optional[str] = ..., local_transaction_id: _Optional[str] = ..., encounter: _Optional[_Union[_values_pb2_1.EncounterReference, _Mapping]] = ...) -> None: ...

class ReverseResponse(_message.Message):
    __slots__ = ("result", "original_id", "reversed_time")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_ID_FIELD_NUMBER: _ClassVar[int]
    REVERSED_TIME_FIELD_NUMBER: _ClassVar[int]
    result: ReversalResult
    original_id: str
    reversed_time: _timestamp_pb2.Timestamp
    def __init__(self, result: _Optional[_Union[ReversalResult, str]] = ..., original_id: _Optional[str] = ..., reversed_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class QuerySettlementRequest(_message.Message):
    __slots__ = ("person", "insured_number", "encounter", "original_id", "original_method", "original_local_transaction_id", "settlement_id")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENCOUNTER_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_ID_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_METHOD_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_ID_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    encounter: _values_pb2_1.EncounterReference
    original_id: str
    original_method: str
    original_local_transaction_id: str
    settlement_id: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., encounter: _Optional[_Union[_values_pb2_1.EncounterReference, _Mapping]] = ..., original_id: _Optional[str] = ..., original_method: _Optional[str] = ..., original_local_transaction_id: _Optional[str] = ..., settlement_id: _Optional[str] = ...) -> None: ...

class QuerySettlementResponse(_message.Message):
    __slots__ = ("finding", "settlement", "cancellation", "doubt_reason")
    FINDING_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_FIELD_NUMBER: _ClassVar[int]
    CANCELLATION_FIELD_NUMBER: _ClassVar[int]
    DOUBT_REASON_FIELD_NUMBER: _ClassVar[int]
    finding: SettlementFinding
    settlement: SettleResponse
    cancellation: CancelSettlementResponse
    doubt_reason: _errors_pb2.ErrorReason
    def __init__(self, finding: _Optional[_Union[SettlementFinding, str]] = ..., settlement: _Optional[_Union[SettleResponse, _Mapping]] = ..., cancellation: _Optional[_Union[CancelSettlementResponse, _Mapping]] = ..., doubt_reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ...) -> None: ...
