"""The return file of an instant issue (即制卡回盘): lines of CSV, found by the header and never by position.

Henan and Jilin put the same columns in other orders and under other names (samples ha- and jl-instant-return-req).
"""

from __future__ import annotations

import dataclasses
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.tagged_text import Table, normal_name
from onecard_protocol.errors import OneCardError

CAUSE_BYTES_MAX: Final = 50

_COLUMNS: Final = {
    "card_number": ("社保卡号",),
    "social_number": ("社会保障号码",),
    "name": ("姓名",),
    "issue_day": ("制卡日期", "发卡日期"),
    "expiry_day": ("有效期至", "卡有效期"),
    "recognition_code": ("卡识别码",),
    "reset_information": ("卡复位码",),
    "bank": ("服务银行",),
    "bank_card_number": ("银行卡号",),
    "failed_at": ("失败环节", "失败环节(银行/制卡)"),
    "cause": ("失败原因", "失败原因(50字节内)"),
}
_OPTIONAL: Final = frozenset({"bank", "expiry_day"})
"""Henan's file names no bank; Guangxi's cards do not expire."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """One line: a card that was made, or what failed."""

    card_number: str = dataclasses.field(repr=False)
    social_number: str = dataclasses.field(repr=False)
    name: str = dataclasses.field(repr=False)
    issue_day: str
    recognition_code: str = dataclasses.field(repr=False)
    reset_information: str
    bank_card_number: str = dataclasses.field(repr=False)
    failed_at: str
    """银行 or 制卡; "" where nothing failed."""
    cause: str
    bank: str = ""
    expiry_day: str = ""

    @property
    def is_made(self) -> bool:
        """Whether the card was made."""
        return not self.failed_at and not self.cause


def read_returned(table: Table) -> list[Returned]:
    """The lines. Raises LOCAL_FORM_INVALID for a missing column, and for a line that says neither made nor failed."""
    present = {normal_name(column) for column in table.columns}
    chosen: dict[str, str] = {}
    for field, names in _COLUMNS.items():
        found = [name for name in names if name in present]
        if len(found) > 1 or (not found and field not in _OPTIONAL):
            raise _invalid(f"return file: {'two columns' if found else 'no column'} for {names[0]}")
        if found:
            chosen[field] = found[0]
    lines = [Returned(**{field: record[name].strip() for field, name in chosen.items()}) for record in table.records()]
    for number, line in enumerate(lines, start=1):
        if len(line.cause.encode("gb18030")) > CAUSE_BYTES_MAX:
            raise _invalid(f"return file line {number}: 失败原因 has more than {CAUSE_BYTES_MAX} bytes")
        if not line.card_number or not line.social_number or (line.is_made and not line.recognition_code):
            raise _invalid(f"return file line {number}: card number, social number or recognition code is missing")
    return lines


def _invalid(problem: str) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, problem)
