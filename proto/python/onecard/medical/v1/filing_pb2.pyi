from onecard.exchange.v1 import options_pb2 as _options_pb2
from onecard.exchange.v1 import values_pb2 as _values_pb2
from onecard.medical.v1 import values_pb2 as _values_pb2_1
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReportFilingRequest(_message.Message):
    __slots__ = ("person", "insured_number", "details", "filing", "local_transaction_id")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    FILING_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    details: _values_pb2_1.PersonDetails
    filing: Filing
    local_transaction_id: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., details: _Optional[_Union[_values_pb2_1.PersonDetails, _Mapping]] = ..., filing: _Optional[_Union[Filing, _Mapping]] = ..., local_transaction_id: _Optional[str] = ...) -> None: ...

class ReportFilingResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Filing(_message.Message):
    __slots__ = ("filing_id", "filing_type", "insurance_area", "destination_area", "first_day", "last_day", "insurance_kind", "institution_code", "diagnosis", "channel")
    FILING_ID_FIELD_NUMBER: _ClassVar[int]
    FILING_TYPE_FIELD_NUMBER: _ClassVar[int]
    INSURANCE_AREA_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_AREA_FIELD_NUMBER: _ClassVar[int]
    FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    LAST_DAY_FIELD_NUMBER: _ClassVar[int]
    INSURANCE_KIND_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_CODE_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSIS_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    filing_id: str
    filing_type: _values_pb2.CodedValue
    insurance_area: str
    destination_area: str
    first_day: _values_pb2.CalendarDay
    last_day: _values_pb2.CalendarDay
    insurance_kind: _values_pb2.CodedValue
    institution_code: str
    diagnosis: ReferralDiagnosis
    channel: _values_pb2.CodedValue
    def __init__(self, filing_id: _Optional[str] = ..., filing_type: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., insurance_area: _Optional[str] = ..., destination_area: _Optional[str] = ..., first_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., last_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., insurance_kind: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., institution_code: _Optional[str] = ..., diagnosis: _Optional[_Union[ReferralDiagnosis, _Mapping]] = ..., channel: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ...) -> None: ...

class ReferralDiagnosis(_message.Message):
    __slots__ = ("code", "name")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    code: str
    name: str
    def __init__(self, code: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class FileRequest(_message.Message):
    __slots__ = ("person", "insured_number", "details", "filing", "local_transaction_id")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    FILING_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    details: _values_pb2_1.PersonDetails
    filing: Filing
    local_transaction_id: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., details: _Optional[_Union[_values_pb2_1.PersonDetails, _Mapping]] = ..., filing: _Optional[_Union[Filing, _Mapping]] = ..., local_transaction_id: _Optional[str] = ...) -> None: ...

class FileResponse(_message.Message):
    __slots__ = ("filing",)
    FILING_FIELD_NUMBER: _ClassVar[int]
    filing: Filing
    def __init__(self, filing: _Optional[_Union[Filing, _Mapping]] = ...) -> None: ...

class WithdrawFilingRequest(_message.Message):
    __slots__ = ("person", "insured_number", "filing_id", "cause", "local_transaction_id")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    FILING_ID_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    filing_id: str
    cause: str
    local_transaction_id: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., filing_id: _Optional[str] = ..., cause: _Optional[str] = ..., local_transaction_id: _Optional[str] = ...) -> None: ...

class WithdrawFilingResponse(_message.Message):
    __slots__ = ("filing_id",)
    FILING_ID_FIELD_NUMBER: _ClassVar[int]
    filing_id: str
    def __init__(self, filing_id: _Optional[str] = ...) -> None: ...
