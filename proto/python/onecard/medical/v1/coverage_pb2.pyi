from onecard.exchange.v1 import options_pb2 as _options_pb2
from onecard.exchange.v1 import values_pb2 as _values_pb2
from onecard.medical.v1 import filing_pb2 as _filing_pb2
from onecard.medical.v1 import values_pb2 as _values_pb2_1
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Enrolment(_message.Message):
    __slots__ = ("insurance_kind", "status", "person_class", "insurance_area", "account_balance_fen", "first_day", "last_day", "employer", "is_civil_servant")
    INSURANCE_KIND_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PERSON_CLASS_FIELD_NUMBER: _ClassVar[int]
    INSURANCE_AREA_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_BALANCE_FEN_FIELD_NUMBER: _ClassVar[int]
    FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    LAST_DAY_FIELD_NUMBER: _ClassVar[int]
    EMPLOYER_FIELD_NUMBER: _ClassVar[int]
    IS_CIVIL_SERVANT_FIELD_NUMBER: _ClassVar[int]
    insurance_kind: _values_pb2.CodedValue
    status: _values_pb2.CodedValue
    person_class: _values_pb2.CodedValue
    insurance_area: str
    account_balance_fen: int
    first_day: _values_pb2.CalendarDay
    last_day: _values_pb2.CalendarDay
    employer: Employer
    is_civil_servant: bool
    def __init__(self, insurance_kind: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., status: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., person_class: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., insurance_area: _Optional[str] = ..., account_balance_fen: _Optional[int] = ..., first_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., last_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., employer: _Optional[_Union[Employer, _Mapping]] = ..., is_civil_servant: _Optional[bool] = ...) -> None: ...

class Employer(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class QueryCoverageRequest(_message.Message):
    __slots__ = ("person", "credential", "details", "insurance_area", "institution", "day")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    INSURANCE_AREA_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    credential: _values_pb2_1.Credential
    details: _values_pb2_1.PersonDetails
    insurance_area: str
    institution: _values_pb2_1.Institution
    day: _values_pb2.CalendarDay
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., credential: _Optional[_Union[_values_pb2_1.Credential, _Mapping]] = ..., details: _Optional[_Union[_values_pb2_1.PersonDetails, _Mapping]] = ..., insurance_area: _Optional[str] = ..., institution: _Optional[_Union[_values_pb2_1.Institution, _Mapping]] = ..., day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ...) -> None: ...

class QueryCoverageResponse(_message.Message):
    __slots__ = ("person", "insured_number", "details", "enrolments", "filings")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    ENROLMENTS_FIELD_NUMBER: _ClassVar[int]
    FILINGS_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    details: _values_pb2_1.PersonDetails
    enrolments: _containers.RepeatedCompositeFieldContainer[Enrolment]
    filings: _containers.RepeatedCompositeFieldContainer[_filing_pb2.Filing]
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., details: _Optional[_Union[_values_pb2_1.PersonDetails, _Mapping]] = ..., enrolments: _Optional[_Iterable[_Union[Enrolment, _Mapping]]] = ..., filings: _Optional[_Iterable[_Union[_filing_pb2.Filing, _Mapping]]] = ...) -> None: ...
