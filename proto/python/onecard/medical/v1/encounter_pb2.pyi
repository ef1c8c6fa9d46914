from onecard.exchange.v1 import options_pb2 as _options_pb2
from onecard.exchange.v1 import values_pb2 as _values_pb2
from onecard.medical.v1 import values_pb2 as _values_pb2_1
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Diagnosis(_message.Message):
    __slots__ = ("kind", "code", "name", "order")
    KIND_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    kind: _values_pb2.CodedValue
    code: str
    name: str
    order: int
    def __init__(self, kind: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., code: _Optional[str] = ..., name: _Optional[str] = ..., order: _Optional[int] = ...) -> None: ...

class Diagnoses(_message.Message):
    __slots__ = ("diagnoses",)
    DIAGNOSES_FIELD_NUMBER: _ClassVar[int]
    diagnoses: _containers.RepeatedCompositeFieldContainer[Diagnosis]
    def __init__(self, diagnoses: _Optional[_Iterable[_Union[Diagnosis, _Mapping]]] = ...) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ("person", "insured_number", "institution", "visit_id", "institution_number", "care_kind", "insurance_kind", "first_day", "filing_id", "is_emergency", "credential", "diagnoses", "department_name", "local_transaction_id")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_FIELD_NUMBER: _ClassVar[int]
    VISIT_ID_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CARE_KIND_FIELD_NUMBER: _ClassVar[int]
    INSURANCE_KIND_FIELD_NUMBER: _ClassVar[int]
    FIRST_DAY_FIELD_NUMBER: _ClassVar[int]
    FILING_ID_FIELD_NUMBER: _ClassVar[int]
    IS_EMERGENCY_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSES_FIELD_NUMBER: _ClassVar[int]
    DEPARTMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    institution: _values_pb2_1.Institution
    visit_id: str
    institution_number: str
    care_kind: _values_pb2.CodedValue
    insurance_kind: _values_pb2.CodedValue
    first_day: _values_pb2.CalendarDay
    filing_id: str
    is_emergency: bool
    credential: _values_pb2_1.Credential
    diagnoses: Diagnoses
    department_name: str
    local_transaction_id: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., institution: _Optional[_Union[_values_pb2_1.Institution, _Mapping]] = ..., visit_id: _Optional[str] = ..., institution_number: _Optional[str] = ..., care_kind: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., insurance_kind: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., first_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., filing_id: _Optional[str] = ..., is_emergency: _Optional[bool] = ..., credential: _Optional[_Union[_values_pb2_1.Credential, _Mapping]] = ..., diagnoses: _Optional[_Union[Diagnoses, _Mapping]] = ..., department_name: _Optional[str] = ..., local_transaction_id: _Optional[str] = ...) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ("encounter",)
    ENCOUNTER_FIELD_NUMBER: _ClassVar[int]
    encounter: _values_pb2_1.EncounterReference
    def __init__(self, encounter: _Optional[_Union[_values_pb2_1.EncounterReference, _Mapping]] = ...) -> None: ...

class DischargeRequest(_message.Message):
    __slots__ = ("person", "insured_number", "encounter", "last_day", "discharge_way", "diagnoses", "local_transaction_id")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENCOUNTER_FIELD_NUMBER: _ClassVar[int]
    LAST_DAY_FIELD_NUMBER: _ClassVar[int]
    DISCHARGE_WAY_FIELD_NUMBER: _ClassVar[int]
    DIAGNOSES_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    encounter: _values_pb2_1.EncounterReference
    last_day: _values_pb2.CalendarDay
    discharge_way: _values_pb2.CodedValue
    diagnoses: Diagnoses
    local_transaction_id: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., encounter: _Optional[_Union[_values_pb2_1.EncounterReference, _Mapping]] = ..., last_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., discharge_way: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., diagnoses: _Optional[_Union[Diagnoses, _Mapping]] = ..., local_transaction_id: _Optional[str] = ...) -> None: ...

class DischargeResponse(_message.Message):
    __slots__ = ("encounter",)
    ENCOUNTER_FIELD_NUMBER: _ClassVar[int]
    encounter: _values_pb2_1.EncounterReference
    def __init__(self, encounter: _Optional[_Union[_values_pb2_1.EncounterReference, _Mapping]] = ...) -> None: ...

class FeeLine(_message.Message):
    __slots__ = ("line_id", "returned_line_id", "item_code", "institution_item_code", "item_name", "charge_class", "charge_level", "quantity_e4", "unit_price_e6", "amount_fen", "self_pay_ratio_e4", "price_limit_e6", "full_self_pay_fen", "over_limit_self_pay_fen", "preceding_self_pay_fen", "in_scope_fen", "day")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    RETURNED_LINE_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_CODE_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_ITEM_CODE_FIELD_NUMBER: _ClassVar[int]
    ITEM_NAME_FIELD_NUMBER: _ClassVar[int]
    CHARGE_CLASS_FIELD_NUMBER: _ClassVar[int]
    CHARGE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_E4_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_E6_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FEN_FIELD_NUMBER: _ClassVar[int]
    SELF_PAY_RATIO_E4_FIELD_NUMBER: _ClassVar[int]
    PRICE_LIMIT_E6_FIELD_NUMBER: _ClassVar[int]
    FULL_SELF_PAY_FEN_FIELD_NUMBER: _ClassVar[int]
    OVER_LIMIT_SELF_PAY_FEN_FIELD_NUMBER: _ClassVar[int]
    PRECEDING_SELF_PAY_FEN_FIELD_NUMBER: _ClassVar[int]
    IN_SCOPE_FEN_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    returned_line_id: str
    item_code: str
    institution_item_code: str
    item_name: str
    charge_class: _values_pb2.CodedValue
    charge_level: _values_pb2.CodedValue
    quantity_e4: int
    unit_price_e6: int
    amount_fen: int
    self_pay_ratio_e4: int
    price_limit_e6: int
    full_self_pay_fen: int
    over_limit_self_pay_fen: int
    preceding_self_pay_fen: int
    in_scope_fen: int
    day: _values_pb2.CalendarDay
    def __init__(self, line_id: _Optional[str] = ..., returned_line_id: _Optional[str] = ..., item_code: _Optional[str] = ..., institution_item_code: _Optional[str] = ..., item_name: _Optional[str] = ..., charge_class: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., charge_level: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., quantity_e4: _Optional[int] = ..., unit_price_e6: _Optional[int] = ..., amount_fen: _Optional[int] = ..., self_pay_ratio_e4: _Optional[int] = ..., price_limit_e6: _Optional[int] = ..., full_self_pay_fen: _Optional[int] = ..., over_limit_self_pay_fen: _Optional[int] = ..., preceding_self_pay_fen: _Optional[int] = ..., in_scope_fen: _Optional[int] = ..., day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ...) -> None: ...

class UploadFeeLinesRequest(_message.Message):
    __slots__ = ("person", "insured_number", "encounter", "lines", "local_transaction_id")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENCOUNTER_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    encounter: _values_pb2_1.EncounterReference
    lines: _containers.RepeatedCompositeFieldContainer[FeeLine]
    local_transaction_id: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., encounter: _Optional[_Union[_values_pb2_1.EncounterReference, _Mapping]] = ..., lines: _Optional[_Iterable[_Union[FeeLine, _Mapping]]] = ..., local_transaction_id: _Optional[str] = ...) -> None: ...

class UploadFeeLinesResponse(_message.Message):
    __slots__ = ("line_count", "totals")
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    line_count: int
    totals: _values_pb2_1.FeeTotals
    def __init__(self, line_count: _Optional[int] = ..., totals: _Optional[_Union[_values_pb2_1.FeeTotals, _Mapping]] = ...) -> None: ...

class WithdrawFeeLinesRequest(_message.Message):
    __slots__ = ("person", "insured_number", "encounter", "line_ids", "local_transaction_id")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    INSURED_NUMBER_FIELD_NUMBER: _ClassVar[int]
    ENCOUNTER_FIELD_NUMBER: _ClassVar[int]
    LINE_IDS_FIELD_NUMBER: _ClassVar[int]
    LOCAL_TRANSACTION_ID_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    insured_number: _values_pb2_1.InsuredNumber
    encounter: _values_pb2_1.EncounterReference
    line_ids: _containers.RepeatedScalarFieldContainer[str]
    local_transaction_id: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., insured_number: _Optional[_Union[_values_pb2_1.InsuredNumber, _Mapping]] = ..., encounter: _Optional[_Union[_values_pb2_1.EncounterReference, _Mapping]] = ..., line_ids: _Optional[_Iterable[str]] = ..., local_transaction_id: _Optional[str] = ...) -> None: ...

class WithdrawFeeLinesResponse(_message.Message):
    __slots__ = ("line_count", "totals")
    LINE_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    line_count: int
    totals: _values_pb2_1.FeeTotals
    def __init__(self, line_count: _Optional[int] = ..., totals: _Optional[_Union[_values_pb2_1.FeeTotals, _Mapping]] = ...) -> None: ...
