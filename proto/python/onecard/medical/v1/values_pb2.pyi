from onecard.exchange.v1 import options_pb2 as _options_pb2
from onecard.exchange.v1 import values_pb2 as _values_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PersonDetails(_message.Message):
    __slots__ = ("name", "sex", "birth_day", "telephone", "address", "ethnicity")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SEX_FIELD_NUMBER: _ClassVar[int]
    BIRTH_DAY_FIELD_NUMBER: _ClassVar[int]
    TELEPHONE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    ETHNICITY_FIELD_NUMBER: _ClassVar[int]
    name: str
    sex: _values_pb2.CodedValue
    birth_day: _values_pb2.CalendarDay
    telephone: str
    address: str
    ethnicity: _values_pb2.CodedValue
    def __init__(self, name: _Optional[str] = ..., sex: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., birth_day: _Optional[_Union[_values_pb2.CalendarDay, _Mapping]] = ..., telephone: _Optional[str] = ..., address: _Optional[str] = ..., ethnicity: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ...) -> None: ...

class Credential(_message.Message):
    __slots__ = ("kind", "number", "card_recognition_code")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CARD_RECOGNITION_CODE_FIELD_NUMBER: _ClassVar[int]
    kind: _values_pb2.CodedValue
    number: str
    card_recognition_code: str
    def __init__(self, kind: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., number: _Optional[str] = ..., card_recognition_code: _Optional[str] = ...) -> None: ...

class Institution(_message.Message):
    __slots__ = ("code", "name", "area")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    code: str
    name: str
    area: str
    def __init__(self, code: _Optional[str] = ..., name: _Optional[str] = ..., area: _Optional[str] = ...) -> None: ...

class InsuredNumber(_message.Message):
    __slots__ = ("insurance_area", "personal_number")
    INSURANCE_AREA_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_NUMBER_FIELD_NUMBER: _ClassVar[int]
    insurance_area: str
    personal_number: str
    def __init__(self, insurance_area: _Optional[str] = ..., personal_number: _Optional[str] = ...) -> None: ...

class EncounterReference(_message.Message):
    __slots__ = ("encounter_id", "institution_code", "visit_id")
    ENCOUNTER_ID_FIELD_NUMBER: _ClassVar[int]
    INSTITUTION_CODE_FIELD_NUMBER: _ClassVar[int]
    VISIT_ID_FIELD_NUMBER: _ClassVar[int]
    encounter_id: str
    institution_code: str
    visit_id: str
    def __init__(self, encounter_id: _Optional[str] = ..., institution_code: _Optional[str] = ..., visit_id: _Optional[str] = ...) -> None: ...

class FundItem(_message.Message):
    __slots__ = ("fund_type", "is_fund", "in_scope_fen", "limit_fen", "paid_fen", "process_information")
    FUND_TYPE_FIELD_NUMBER: _ClassVar[int]
    IS_FUND_FIELD_NUMBER: _ClassVar[int]
    IN_SCOPE_FEN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FEN_FIELD_NUMBER: _ClassVar[int]
    PAID_FEN_FIELD_NUMBER: _ClassVar[int]
    PROCESS_INFORMATION_FIELD_NUMBER: _ClassVar[int]
    fund_type: _values_pb2.CodedValue
    is_fund: bool
    in_scope_fen: int
    limit_fen: int
    paid_fen: int
    process_information: str
    def __init__(self, fund_type: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., is_fund: _Optional[bool] = ..., in_scope_fen: _Optional[int] = ..., limit_fen: _Optional[int] = ..., paid_fen: _Optional[int] = ..., process_information: _Optional[str] = ...) -> None: ...

class SettlementSplit(_message.Message):
    __slots__ = ("total_fen", "full_self_pay_fen", "over_limit_self_pay_fen", "preceding_self_pay_fen", "in_scope_fen", "deductible_fen", "pooling_fund_fen", "pooling_ratio_e4", "civil_servant_fund_fen", "enterprise_fund_fen", "serious_illness_fund_fen", "large_amount_fund_fen", "assistance_fund_fen", "other_fund_fen", "fund_total_fen", "hospital_part_fen", "personal_part_fen", "personal_account_fen", "cash_fen", "family_account_fen", "account_balance_fen", "items", "clearing_agency", "clearing_way", "clearing_type")
    TOTAL_FEN_FIELD_NUMBER: _ClassVar[int]
    FULL_SELF_PAY_FEN_FIELD_NUMBER: _ClassVar[int]
    OVER_LIMIT_SELF_PAY_FEN_FIELD_NUMBER: _ClassVar[int]
    PRECEDING_SELF_PAY_FEN_FIELD_NUMBER: _ClassVar[int]
    IN_SCOPE_FEN_FIELD_NUMBER: _ClassVar[int]
    DEDUCTIBLE_FEN_FIELD_NUMBER: _ClassVar[int]
    POOLING_FUND_FEN_FIELD_NUMBER: _ClassVar[int]
    POOLING_RATIO_E4_FIELD_NUMBER: _ClassVar[int]
    CIVIL_SERVANT_FUND_FEN_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FUND_FEN_FIELD_NUMBER: _ClassVar[int]
    SERIOUS_ILLNESS_FUND_FEN_FIELD_NUMBER: _ClassVar[int]
    LARGE_AMOUNT_FUND_FEN_FIELD_NUMBER: _ClassVar[int]
    ASSISTANCE_FUND_FEN_FIELD_NUMBER: _ClassVar[int]
    OTHER_FUND_FEN_FIELD_NUMBER: _ClassVar[int]
    FUND_TOTAL_FEN_FIELD_NUMBER: _ClassVar[int]
    HOSPITAL_PART_FEN_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_PART_FEN_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_ACCOUNT_FEN_FIELD_NUMBER: _ClassVar[int]
    CASH_FEN_FIELD_NUMBER: _ClassVar[int]
    FAMILY_ACCOUNT_FEN_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_BALANCE_FEN_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CLEARING_AGENCY_FIELD_NUMBER: _ClassVar[int]
    CLEARING_WAY_FIELD_NUMBER: _ClassVar[int]
    CLEARING_TYPE_FIELD_NUMBER: _ClassVar[int]
    total_fen: int
    full_self_pay_fen: int
    over_limit_self_pay_fen: int
    preceding_self_pay_fen: int
    in_scope_fen: int
    deductible_fen: int
    pooling_fund_fen: int
    pooling_ratio_e4: int
    civil_servant_fund_fen: int
    enterprise_fund_fen: int
    serious_illness_fund_fen: int
    large_amount_fund_fen: int
    assistance_fund_fen: int
    other_fund_fen: int
    fund_total_fen: int
    hospital_part_fen: int
    personal_part_fen: int
    personal_account_fen: int
    cash_fen: int
    family_account_fen: int
    account_balance_fen: int
    items: _containers.RepeatedCompositeFieldContainer[FundItem]
    clearing_agency: str
    clearing_way: _values_pb2.CodedValue
    clearing_type: _values_pb2.CodedValue
    def __init__(self, total_fen: _Optional[int] = ..., full_self_pay_fen: _Optional[int] = ..., over_limit_self_pay_fen: _Optional[int] = ..., preceding_self_pay_fen: _Optional[int] = ..., in_scope_fen: _Optional[int] = ..., deductible_fen: _Optional[int] = ..., pooling_fund_fen: _Optional[int] = ..., pooling_ratio_e4: _Optional[int] = ..., civil_servant_fund_fen: _Optional[int] = ..., enterprise_fund_fen: _Optional[int] = ..., serious_illness_fund_fen: _Optional[int] = ..., large_amount_fund_fen: _Optional[int] = ..., assistance_fund_fen: _Optional[int] = ..., other_fund_fen: _Optional[int] = ..., fund_total_fen: _Optional[int] = ..., hospital_part_fen: _Optional[int] = ..., personal_part_fen: _Optional[int] = ..., personal_account_fen: _Optional[int] = ..., cash_fen: _Optional[int] = ..., family_account_fen: _Optional[int] = ..., account_balance_fen: _Optional[int] = ..., items: _Optional[_Iterable[_Union[FundItem, _Mapping]]] = ..., clearing_agency: _Optional[str] = ..., clearing_way: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ..., clearing_type: _Optional[_Union[_values_pb2.CodedValue, _Mapping]] = ...) -> None: ...

class FeeTotals(_message.Message):
    __slots__ = ("total_fen", "full_self_pay_fen", "over_limit_self_pay_fen", "preceding_self_pay_fen", "in_scope_fen")
    TOTAL_FEN_FIELD_NUMBER: _ClassVar[int]
    FULL_SELF_PAY_FEN_FIELD_NUMBER: _ClassVar[int]
    OVER_LIMIT_SELF_PAY_FEN_FIELD_NUMBER: _ClassVar[int]
    PRECEDING_SELF_PAY_FEN_FIELD_NUMBER: _ClassVar[int]
    IN_SCOPE_FEN_FIELD_NUMBER: _ClassVar[int]
    total_fen: int
    full_self_pay_fen: int
    over_limit_self_pay_fen: int
    preceding_self_pay_fen: int
    in_scope_fen: int
    def __init__(self, total_fen: _Optional[int] = ..., full_self_pay_fen: _Optional[int] = ..., over_limit_self_pay_fen: _Optional[int] = ..., preceding_self_pay_fen: _Optional[int] = ..., in_scope_fen: _Optional[int] = ...) -> None: ...
