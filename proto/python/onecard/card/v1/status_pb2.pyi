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

class Freshness(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRESHNESS_UNSPECIFIED: _ClassVar[Freshness]
    FRESHNESS_FRESH: _ClassVar[Freshness]
    FRESHNESS_STALE: _ClassVar[Freshness]

class CardVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CARD_VERDICT_UNSPECIFIED: _ClassVar[CardVerdict]
    CARD_VERDICT_VALID: _ClassVar[CardVerdict]
    CARD_VERDICT_UNKNOWN_CARD: _ClassVar[CardVerdict]
    CARD_VERDICT_MISMATCH: _ClassVar[CardVerdict]
    CARD_VERDICT_NOT_ENABLED: _ClassVar[CardVerdict]
    CARD_VERDICT_TEMPORARILY_LOST: _ClassVar[CardVerdict]
    CARD_VERDICT_LOST: _ClassVar[CardVerdict]
    CARD_VERDICT_LOCKED: _ClassVar[CardVerdict]
    CARD_VERDICT_CANCELLED: _ClassVar[CardVerdict]
    CARD_VERDICT_SUPERSEDED: _ClassVar[CardVerdict]
    CARD_VERDICT_EXPIRED: _ClassVar[CardVerdict]
    CARD_VERDICT_STALE: _ClassVar[CardVerdict]
FRESHNESS_UNSPECIFIED: Freshness
FRESHNESS_FRESH: Freshness
FRESHNESS_STALE: Freshness
CARD_VERDICT_UNSPECIFIED: CardVerdict
CARD_VERDICT_VALID: CardVerdict
CARD_VERDICT_UNKNOWN_CARD: CardVerdict
CARD_VERDICT_MISMATCH: CardVerdict
CARD_VERDICT_NOT_ENABLED: CardVerdict
CARD_VERDICT_TEMPORARILY_LOST: CardVerdict
CARD_VERDICT_LOST: CardVerdict
CARD_VERDICT_LOCKED: CardVerdict
CARD_VERDICT_CANCELLED: CardVerdict
CARD_VERDICT_SUPERSEDED: CardVerdict
CARD_VERDICT_EXPIRED: CardVerdict
CARD_VERDICT_STALE: CardVerdict

class CardQuestion(_message.Message):
    __slots__ = ("person", "card")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    CARD_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2_1.PersonIdentity
    card: _values_pb2.CardReference
    def __init__(self, person: _Optional[_Union[_values_pb2_1.PersonIdentity, _Mapping]] = ..., card: _Optional[_Union[_values_pb2.CardReference, _Mapping]] = ...) -> None: ...

class CardAnswer(_message.Message):
    __slots__ = ("freshness", "as_of_time", "cards")
    FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    CARDS_FIELD_NUMBER: _ClassVar[int]
    freshness: Freshness
    as_of_time: _timestamp_pb2.Timestamp
    cards: _containers.RepeatedCompositeFieldContainer[_values_pb2.CardStanding]
    def __init__(self, freshness: _Optional[_Union[Freshness, str]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cards: _Optional[_Iterable[_Union[_values_pb2.CardStanding, _Mapping]]] = ...) -> None: ...

class GetCardStatusRequest(_message.Message):
    __slots__ = ("question", "purpose")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    question: CardQuestion
    purpose: str
    def __init__(self, question: _Optional[_Union[CardQuestion, _Mapping]] = ..., purpose: _Optional[str] = ...) -> None: ...

class GetCardStatusResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: CardAnswer
    def __init__(self, answer: _Optional[_Union[CardAnswer, _Mapping]] = ...) -> None: ...

class BatchGetCardStatusRequest(_message.Message):
    __slots__ = ("questions", "purpose")
    QUESTIONS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    questions: _containers.RepeatedCompositeFieldContainer[CardQuestion]
    purpose: str
    def __init__(self, questions: _Optional[_Iterable[_Union[CardQuestion, _Mapping]]] = ..., purpose: _Optional[str] = ...) -> None: ...

class BatchGetCardStatusResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[CardAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[CardAnswer, _Mapping]]] = ...) -> None: ...

class VerifyCardRequest(_message.Message):
    __slots__ = ("person", "card_number", "recognition_code", "electronic_card_id", "purpose", "terminal")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    CARD_NUMBER_FIELD_NUMBER: _ClassVar[int]
    RECOGNITION_CODE_FIELD_NUMBER: _ClassVar[int]
    ELECTRONIC_CARD_ID_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2_1.PersonIdentity
    card_number: str
    recognition_code: str
    electronic_card_id: str
    purpose: str
    terminal: str
    def __init__(self, person: _Optional[_Union[_values_pb2_1.PersonIdentity, _Mapping]] = ..., card_number: _Optional[str] = ..., recognition_code: _Optional[str] = ..., electronic_card_id: _Optional[str] = ..., purpose: _Optional[str] = ..., terminal: _Optional[str] = ...) -> None: ...

class VerifyCardResponse(_message.Message):
    __slots__ = ("is_valid", "verdict", "as_of_time")
    IS_VALID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    is_valid: bool
    verdict: CardVerdict
    as_of_time: _timestamp_pb2.Timestamp
    def __init__(self, is_valid: _Optional[bool] = ..., verdict: _Optional[_Union[CardVerdict, str]] = ..., as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
