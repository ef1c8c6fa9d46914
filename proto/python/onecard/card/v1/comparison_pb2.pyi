import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from onecard.card.v1 import values_pb2 as _values_pb2
from onecard.exchange.v1 import options_pb2 as _options_pb2
from onecard.exchange.v1 import values_pb2 as _values_pb2_1
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ComparisonScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPARISON_SCOPE_UNSPECIFIED: _ClassVar[ComparisonScope]
    COMPARISON_SCOPE_ISSUED: _ClassVar[ComparisonScope]
    COMPARISON_SCOPE_FOLLOWED: _ClassVar[ComparisonScope]
COMPARISON_SCOPE_UNSPECIFIED: ComparisonScope
COMPARISON_SCOPE_ISSUED: ComparisonScope
COMPARISON_SCOPE_FOLLOWED: ComparisonScope

class ReadDigestsRequest(_message.Message):
    __slots__ = ("scope", "depth", "prefixes")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    scope: ComparisonScope
    depth: int
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scope: _Optional[_Union[ComparisonScope, str]] = ..., depth: _Optional[int] = ..., prefixes: _Optional[_Iterable[str]] = ...) -> None: ...

class RangeDigests(_message.Message):
    __slots__ = ("prefix", "digests")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    DIGESTS_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    digests: bytes
    def __init__(self, prefix: _Optional[str] = ..., digests: _Optional[bytes] = ...) -> None: ...

class ReadDigestsResponse(_message.Message):
    __slots__ = ("ranges", "card_count")
    RANGES_FIELD_NUMBER: _ClassVar[int]
    CARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    ranges: _containers.RepeatedCompositeFieldContainer[RangeDigests]
    card_count: int
    def __init__(self, ranges: _Optional[_Iterable[_Union[RangeDigests, _Mapping]]] = ..., card_count: _Optional[int] = ...) -> None: ...

class ReadCardsRequest(_message.Message):
    __slots__ = ("scope", "prefixes", "after_key")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    PREFIXES_FIELD_NUMBER: _ClassVar[int]
    AFTER_KEY_FIELD_NUMBER: _ClassVar[int]
    scope: ComparisonScope
    prefixes: _containers.RepeatedScalarFieldContainer[str]
    after_key: str
    def __init__(self, scope: _Optional[_Union[ComparisonScope, str]] = ..., prefixes: _Optional[_Iterable[str]] = ..., after_key: _Optional[str] = ...) -> None: ...

class CopiedCard(_message.Message):
    __slots__ = ("card", "social_state", "social_version", "financial_state", "financial_version", "data_digest")
    CARD_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_STATE_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    FINANCIAL_STATE_FIELD_NUMBER: _ClassVar[int]
    FINANCIAL_VERSION_FIELD_NUMBER: _ClassVar[int]
    DATA_DIGEST_FIELD_NUMBER: _ClassVar[int]
    card: _values_pb2.CardReference
    social_state: _values_pb2.SocialState
    social_version: int
    financial_state: _values_pb2.FinancialState
    financial_version: int
    data_digest: bytes
    def __init__(self, card: _Optional[_Union[_values_pb2.CardReference, _Mapping]] = ..., social_state: _Optional[_Union[_values_pb2.SocialState, str]] = ..., social_version: _Optional[int] = ..., financial_state: _Optional[_Union[_values_pb2.FinancialState, str]] = ..., financial_version: _Optional[int] = ..., data_digest: _Optional[bytes] = ...) -> None: ...

class ReadCardsResponse(_message.Message):
    __slots__ = ("cards", "is_cut_off")
    CARDS_FIELD_NUMBER: _ClassVar[int]
    IS_CUT_OFF_FIELD_NUMBER: _ClassVar[int]
    cards: _containers.RepeatedCompositeFieldContainer[CopiedCard]
    is_cut_off: bool
    def __init__(self, cards: _Optional[_Iterable[_Union[CopiedCard, _Mapping]]] = ..., is_cut_off: _Optional[bool] = ...) -> None: ...

class ReportAgainRequest(_message.Message):
    __slots__ = ("cards",)
    CARDS_FIELD_NUMBER: _ClassVar[int]
    cards: _containers.RepeatedCompositeFieldContainer[AskedReport]
    def __init__(self, cards: _Optional[_Iterable[_Union[AskedReport, _Mapping]]] = ...) -> None: ...

class AskedReport(_message.Message):
    __slots__ = ("card", "registry_version")
    CARD_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_VERSION_FIELD_NUMBER: _ClassVar[int]
    card: _values_pb2.CardReference
    registry_version: int
    def __init__(self, card: _Optional[_Union[_values_pb2.CardReference, _Mapping]] = ..., registry_version: _Optional[int] = ...) -> None: ...

class ReportAgainResponse(_message.Message):
    __slots__ = ("reported_count", "unknown")
    REPORTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    reported_count: int
    unknown: _containers.RepeatedCompositeFieldContainer[_values_pb2.CardReference]
    def __init__(self, reported_count: _Optional[int] = ..., unknown: _Optional[_Iterable[_Union[_values_pb2.CardReference, _Mapping]]] = ...) -> None: ...

class RegistryCard(_message.Message):
    __slots__ = ("person", "copied", "data", "holder", "social_changed_time", "financial_changed_time")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    COPIED_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_CHANGED_TIME_FIELD_NUMBER: _ClassVar[int]
    FINANCIAL_CHANGED_TIME_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2_1.PersonIdentity
    copied: CopiedCard
    data: _values_pb2.CardData
    holder: _values_pb2.HolderDetails
    social_changed_time: _timestamp_pb2.Timestamp
    financial_changed_time: _timestamp_pb2.Timestamp
    def __init__(self, person: _Optional[_Union[_values_pb2_1.PersonIdentity, _Mapping]] = ..., copied: _Optional[_Union[CopiedCard, _Mapping]] = ..., data: _Optional[_Union[_values_pb2.CardData, _Mapping]] = ..., holder: _Optional[_Union[_values_pb2.HolderDetails, _Mapping]] = ..., social_changed_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., financial_changed_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RepairCopyRequest(_message.Message):
    __slots__ = ("cards", "gone")
    CARDS_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    cards: _containers.RepeatedCompositeFieldContainer[RegistryCard]
    gone: _containers.RepeatedCompositeFieldContainer[_values_pb2.CardReference]
    def __init__(self, cards: _Optional[_Iterable[_Union[RegistryCard, _Mapping]]] = ..., gone: _Optional[_Iterable[_Union[_values_pb2.CardReference, _Mapping]]] = ...) -> None: ...

class RepairCopyResponse(_message.Message):
    __slots__ = ("changed_count",)
    CHANGED_COUNT_FIELD_NUMBER: _ClassVar[int]
    changed_count: int
    def __init__(self, changed_count: _Optional[int] = ...) -> None: ...
