"""What a cashier reads of a failure: the reason's name, and Chinese.

`OneCardError.detail` is English and for the log. What of it a cashier can act on (a field, a figure, a code) is said in
Chinese here; of an error in the form of a message, which somebody must find in a program, an unknown detail stays.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.in_part import DESTINATION, INSURED_PROVINCE, OWN_CORE, ExecutedInPart
from onecard_adapters.runtime.store_file import cause_of
from onecard_protocol.errors import OneCardError, reason_name, text

_OF_FORM: Final = frozenset(
    {
        errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID,
        errors_pb2.ERROR_REASON_UNMAPPED_CODE,
        errors_pb2.ERROR_REASON_UNENCODABLE_CHARACTER,
    }
)
_AT_FIELD: Final = re.compile(r"([A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*): (.*)", re.ASCII | re.DOTALL)


def _yuan(amount_fen: str) -> str:
    fen = int(amount_fen)
    return f"{'-' * (fen < 0)}{abs(fen) // 100}.{abs(fen) % 100:02d}元"


_SIDES: Final = {INSURED_PROVINCE: "参保地", OWN_CORE: "本省系统", DESTINATION: "就医地"}
_ANY_SIDE: Final = "|".join(_SIDES)


_PHRASES: Final[tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]] = (
    (
        r"(-?\d+) fen stated, (?:the )?lines give (-?\d+) fen",
        lambda found: f"申报{_yuan(found[1])}，明细合计{_yuan(found[2])}",
    ),
    (
        r"sent (-?\d+) fen, split as (-?\d+) fen with parts of (-?\d+) fen",
        lambda found: f"上传{_yuan(found[1])}，本省系统返回{_yuan(found[2])}，各部分合计{_yuan(found[3])}",
    ),
    (r"missing\b.*", "缺失"),
    (r"no such day|not a day|not a time", "日期不正确"),
    (r"not a whole number", "不是整数"),
    (r"not a decimal number.*", "不是数字（应如1234.50，不带千位分隔符）"),
    (
        r"the name of element (\d+) in it is none of this form",
        r"其中第\1个元素的名称不合规定（限GBK中的文字、数字、_、.、-，64个以内）",
    ),
    (r"stands twice", "重复"),
    (r"names a line and a batch.*", "明细流水号与收费批次号只能填写一项"),
    (r"names a line or batch that this visit does not hold", "本次就诊没有所指的明细或收费批次"),
    (r"longer than (\d+) characters", r"超过\1个字符"),
    (r"not a six-digit area of a province.*", "不是六位行政区划代码"),
    (r"local code (.+) is not in table (\S+) version (\S+)", r"代码\1不在代码表\2（版本\3）中"),
    (r"(\d+) filings cover this care.*", r"有\1条备案适用于本次就诊，请指明其中一条"),
    (r"(\d+) lines; a call carries 1 to (\d+)", r"本次\1条明细，每次限1至\2条"),
    (r"(\S+)(?: \d{6})? lies in this province.*", r"\1属于本省，请在本省系统办理"),
    (r"trade (\d+) was refused with (\S+?)(?:,.*)?", r"交易\1返回代码\2"),
    (r"the own core answered (-?\d+)", r"本省系统返回代码\1"),
    (
        rf"(\w+) was executed by ({_ANY_SIDE}) and is not complete at ({_ANY_SIDE}); .*",
        lambda found: (
            f"{found[1]}在{_SIDES[found[2]]}已执行，在{_SIDES[found[3]]}尚未完成：请将同一报文原样重发，直至成功"
        ),
    ),
    (
        r"(\w+) was refused and still stands at the own core; .*",
        r"\1未获受理，在本省系统尚未撤回：请将同一报文原样重发",
    ),
    (
        r"(\w+) was executed by the insured province and others came after it; .*",
        r"\1在参保地已执行，其后又有新的办理，不再补办：请与本省系统核对",
    ),
    (
        r"(\w+) was executed by the own core and taken back by (\w+) since",
        r"\1已在本省系统办理，其后已由\2撤销：如仍需办理，请换新号",
    ),
    (r"(\w+) was followed by others of its lines", r"\1之后其明细已另行办理：如仍需上传，请换新号"),
    (
        r"(\w+) was not sent: the insured province did not tell the coverage: .*",
        r"参保地未及时答复参保信息，\1没有发出，未办理：请将同一报文原样重发",
    ),
    (r"(\w+) was executed; .*", r"\1已执行，但其应答未能处理"),
    (r"no interim settlement here.*", "本接口不办理中途结算，请于出院后结算"),
    (r"(\w+) was reversed before it came", r"该\1已先行冲正，请换新号办理"),
    (
        r"the adapter's store cannot be used \(.*full\): .*",
        "适配器存储所在磁盘已满：请运维人员清理空间，再将同一报文原样重发",
    ),
    (r"the adapter's store cannot be used \(.*", "适配器存储无法读写：请运维人员检查，再将同一报文原样重发"),
    (r"(infno|TransNo) (\S+)", r"\1 \2"),
)
_KNOWN: Final = tuple((re.compile(pattern, re.DOTALL), said) for pattern, said in _PHRASES)


def cashier_text(error: OneCardError, local_text: str) -> str:
    """The reason's name in brackets, what a local system said, the catalogue's Chinese text, and what is wrong.

    Of a trade that was executed in part: where, and what to do, then what the local system said.
    """
    if isinstance(error, ExecutedInPart):
        # The catalogue's "query or reverse" helps with settlements only. What to do comes first: the rest may be cut.
        parts = [*_details(error), local_text]
    else:
        parts = [local_text, text(error.reason, "zh"), *_details(error)]
    return f"[{reason_name(error.reason)}] " + " ".join(part for part in parts if part)


def unforeseen(error: Exception) -> OneCardError:
    """INTERNAL, which is in doubt: of an error that nobody foresaw, whose text may quote the body, no more than that.

    Where the adapter's own store failed, that is said as well: neither hub nor core is at fault.
    """
    detail = ""
    if isinstance(error, sqlite3.OperationalError):
        detail = f"the adapter's store cannot be used ({error}): {cause_of(error)[0]}"
    return OneCardError(errors_pb2.ERROR_REASON_INTERNAL, detail)


def log_text(error: OneCardError) -> str:
    """The reason's name and the English detail; no personal data."""
    details = [error.detail, *(f"{field}: {problem}" for field, problem in error.violations)]
    return " | ".join([reason_name(error.reason), *(detail for detail in details if detail)])


def _details(error: OneCardError) -> Iterator[str]:
    keeps = error.reason in _OF_FORM
    found = _AT_FIELD.fullmatch(error.detail)
    if found is None:
        yield _in_chinese(error.detail, keeps=keeps)
    else:
        yield _of_field(found[1], found[2], keeps=keeps)
    for field, problem in error.violations:
        yield _of_field(field, problem, keeps=keeps)


def _of_field(field: str, problem: str, *, keeps: bool) -> str:
    said = _in_chinese(problem, keeps=keeps)
    return f"{field}: {said}" if said else field


def _in_chinese(detail: str, *, keeps: bool) -> str:
    for pattern, said in _KNOWN:
        found = pattern.fullmatch(detail)
        if found is not None:
            return said(found) if callable(said) else found.expand(said)
    return detail if keeps else ""
