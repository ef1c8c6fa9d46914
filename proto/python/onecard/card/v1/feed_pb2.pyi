from onecard.exchange.v1 import options_pb2 as _options_pb2
from onecard.exchange.v1 import values_pb2 as _values_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FollowPersonRequest(_message.Message):
    __slots__ = ("person", "purpose")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    purpose: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., purpose: _Optional[str] = ...) -> None: ...

class FollowPersonResponse(_message.Message):
    __slots__ = ("card_count",)
    CARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    card_count: int
    def __init__(self, card_count: _Optional[int] = ...) -> None: ...

class UnfollowPersonRequest(_message.Message):
    __slots__ = ("person",)
    PERSON_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ...) -> None: ...

class UnfollowPersonResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LinkNumberRequest(_message.Message):
    __slots__ = ("person", "primary", "document")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    primary: _values_pb2.PersonIdentity
    document: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., primary: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., document: _Optional[str] = ...) -> None: ...

class LinkNumberResponse(_message.Message):
    __slots__ = ("card_count",)
    CARD_COUNT_FIELD_NUMBER: _ClassVar[int]
    card_count: int
    def __init__(self, card_count: _Optional[int] = ...) -> None: ...

class UnlinkNumberRequest(_message.Message):
    __slots__ = ("person", "cause")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    cause: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., cause: _Optional[str] = ...) -> None: ...

class UnlinkNumberResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TakeOverRequest(_message.Message):
    __slots__ = ("person", "former", "holder", "is_taken_back", "linked_by")
    PERSON_FIELD_NUMBER: _ClassVar[int]
    FORMER_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    IS_TAKEN_BACK_FIELD_NUMBER: _ClassVar[int]
    LINKED_BY_FIELD_NUMBER: _ClassVar[int]
    person: _values_pb2.PersonIdentity
    former: str
    holder: bytes
    is_taken_back: bool
    linked_by: str
    def __init__(self, person: _Optional[_Union[_values_pb2.PersonIdentity, _Mapping]] = ..., former: _Optional[str] = ..., holder: _Optional[bytes] = ..., is_taken_back: _Optional[bool] = ..., linked_by: _Optional[str] = ...) -> None: ...

class TakeOverResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
