from onecard.card.v1 import change_pb2 as _change_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SnapshotCard(_message.Message):
    __slots__ = ("social", "financial")
    SOCIAL_FIELD_NUMBER: _ClassVar[int]
    FINANCIAL_FIELD_NUMBER: _ClassVar[int]
    social: _change_pb2.ReportSocialChangeRequest
    financial: _change_pb2.ReportFinancialChangeRequest
    def __init__(self, social: _Optional[_Union[_change_pb2.ReportSocialChangeRequest, _Mapping]] = ..., financial: _Optional[_Union[_change_pb2.ReportFinancialChangeRequest, _Mapping]] = ...) -> None: ...
