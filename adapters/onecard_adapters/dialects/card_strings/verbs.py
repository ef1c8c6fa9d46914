"""The table of verbs: what each is called, which tags it carries, who asks whom, and where its form comes from.

A row with samples has the tags of those samples; a row without is ours, made in the same manner, because no public
source shows it. docs/dialects/card-strings.md shows this table; a test holds the two together.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.tagged_text import Table, TaggedNode, TaggedText
from onecard_protocol.errors import OneCardError

VERB_TAG: Final = "操作"
USER_TAG: Final = "用户名"
PASSWORD_TAG: Final = "密码"
CITY_TAG: Final = "城市代码"
CARD_TAG: Final = "社会保障卡卡号"
NUMBER_TAG: Final = "社会保障号码"
NAME_TAG: Final = "姓名"


class Verb(enum.StrEnum):
    """操作."""

    TEMPORARY_LOSS = "临时挂失"
    LOSS = "正式挂失"
    FOUND = "解除挂失"
    LABEL = "即时制卡标注"
    APPLY = "申请社保卡"
    BATCH_NUMBER = "获取批次号"
    BATCH = "即制卡批次"
    BATCH_DATA = "即制卡数据"
    RETURN = "即制卡回盘"
    ENABLE = "领卡启用"
    STATUS = "getCard"
    RECORD = "getAC01"
    BANK = "getBank"
    PROGRESS = "getAZ03"
    STEP = "换卡事项"
    COPY = "外省卡状态"
    NOTICE = "卡状态通知"
    VERIFY = "社保卡验证"
    BENEFIT_CONFIRMED = "待遇发放账户变更确认"


class Direction(enum.StrEnum):
    """Who asks whom."""

    RELAYED = "a counter or instant-issue point, through the adapter, the card office; or the adapter itself"
    ASKED = "the adapter alone the card office"
    SERVED = "the card office or a counter the adapter"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One verb."""

    verb: Verb
    title: str
    direction: Direction
    tags: tuple[str, ...]
    """Tags that must be filled, beside verb, user and password; in the order in which they are written."""
    has_table: bool = False
    samples: tuple[str, ...] = ()
    """Files under tests/samples/card whose tags these are."""
    also_known_as: tuple[str, ...] = ()
    """Names of the same verb at other offices."""


_HOLDER: Final = (CITY_TAG, CARD_TAG, NUMBER_TAG, NAME_TAG)
_POINT: Final = (CITY_TAG, "所属区县", "服务银行", "卡商")

FORMS: Final[dict[Verb, Form]] = {
    form.verb: form
    for form in (
        Form(verb=Verb.TEMPORARY_LOSS, title="report lost for now", direction=Direction.RELAYED, tags=_HOLDER),
        Form(verb=Verb.LOSS, title="report lost", direction=Direction.RELAYED, tags=_HOLDER),
        Form(verb=Verb.FOUND, title="found again", direction=Direction.RELAYED, tags=_HOLDER),
        Form(verb=Verb.LABEL, title="label for instant issue", direction=Direction.RELAYED, tags=_HOLDER),
        Form(
            verb=Verb.APPLY,
            title="apply for a card",
            direction=Direction.RELAYED,
            tags=(CITY_TAG, "服务银行", "证件类型", "证件号码", NAME_TAG, "性别", "民族", "出生日期", "办卡类型"),
            samples=("ha-apply-card-req-mismatched-tag.txt",),
        ),
        Form(verb=Verb.BATCH_NUMBER, title="get a batch number", direction=Direction.RELAYED, tags=_POINT),
        Form(
            verb=Verb.BATCH,
            title="make a batch; gives the card numbers",
            direction=Direction.RELAYED,
            tags=(*_POINT, "批次号", "人数"),
            has_table=True,
            samples=("ha-instant-batch-req-xml-then-csv.txt",),
        ),
        Form(
            verb=Verb.BATCH_DATA,
            title="get what is written onto a card",
            direction=Direction.RELAYED,
            tags=("批次号", NUMBER_TAG),
            samples=("ha-instant-data-resp-fragment.txt",),
        ),
        Form(
            verb=Verb.RETURN,
            title="tell which cards were made",
            direction=Direction.RELAYED,
            tags=("批次号", "人数"),
            has_table=True,
            samples=("ha-instant-return-req.txt", "jl-instant-return-req.txt"),
        ),
        Form(
            verb=Verb.ENABLE,
            title="hand out and enable",
            direction=Direction.RELAYED,
            tags=_HOLDER,
            samples=("ha-collect-enable-req.txt",),
        ),
        Form(
            verb=Verb.STATUS,
            title="status of a card, one word",
            direction=Direction.RELAYED,
            tags=(CARD_TAG,),
            samples=("ha-getCard-resp-bare-word.txt",),
        ),
        Form(
            verb=Verb.RECORD,
            title="card and holder",
            direction=Direction.RELAYED,
            tags=(CARD_TAG,),
            samples=("ha-getRysj-resp-fragment.txt", "ha-getRysj-resp-error.txt"),
            also_known_as=("getRysj",),
        ),
        Form(verb=Verb.BANK, title="bank and account of a card", direction=Direction.RELAYED, tags=(CARD_TAG,)),
        Form(
            verb=Verb.PROGRESS,
            title="progress of production",
            direction=Direction.RELAYED,
            tags=(NUMBER_TAG,),
            samples=("ha-getZkjd-resp-fragment.txt",),
            also_known_as=("getZkjd",),
        ),
        Form(
            verb=Verb.STEP,
            title="carry out, or undo, one step of a replacement",
            direction=Direction.ASKED,
            tags=("事项", "方向", "业务流水号", NUMBER_TAG, "原社保卡号", "新社保卡号"),
        ),
        Form(
            verb=Verb.COPY,
            title="a card of another province, for the office's copy",
            direction=Direction.ASKED,
            tags=("AAZ500", "AAZ502", "YKZ513", "YKZ514"),
        ),
        Form(
            verb=Verb.NOTICE,
            title="what became of a card: its string and its status",
            direction=Direction.SERVED,
            tags=("卡串", "AAZ502", "AAE036"),
        ),
        Form(
            verb=Verb.VERIFY,
            title="may this card be used?",
            direction=Direction.SERVED,
            tags=(CITY_TAG, "终端编号", "卡串"),
        ),
        Form(
            verb=Verb.BENEFIT_CONFIRMED,
            title="the agency changed the account that benefits are paid to",
            direction=Direction.SERVED,
            tags=("业务流水号", NUMBER_TAG, "服务银行"),
        ),
    )
}

_BY_NAME: Final = {name: form for form in FORMS.values() for name in (form.verb.value, *form.also_known_as)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A verb as asked: tags by their normal name, and the table behind them."""

    form: Form
    values: dict[str, str]
    table: Table | None = None

    @property
    def verb(self) -> Verb:
        """Which one."""
        return self.form.verb


def read_request(message: TaggedText) -> Request:
    """A request. Raises UNSUPPORTED_TRADE for a verb that is not in the table, LOCAL_FORM_INVALID for what lacks."""
    form = _BY_NAME.get(message.value(VERB_TAG) or "")
    if form is None:
        raise OneCardError(errors_pb2.ERROR_REASON_UNSUPPORTED_TRADE, "操作 names no verb of this dialect")
    values = message.values()
    check(form, values, message.table)
    return Request(form=form, values=values, table=message.table)


def request_text(request: Request, user: str, password: str) -> TaggedText:
    """The message of a request; required tags carry their star, and come first."""
    check(request.form, request.values, request.table)
    own = {VERB_TAG: request.form.verb.value, USER_TAG: user, PASSWORD_TAG: password}
    names = [*request.form.tags, *(name for name in request.values if name not in {*request.form.tags, *own})]
    nodes = [TaggedNode(name=f"{name}*", text=text) for name, text in own.items()]
    nodes += [
        TaggedNode(name=f"{name}*" if name in request.form.tags else name, text=request.values[name]) for name in names
    ]
    return TaggedText(nodes=tuple(nodes), table=request.table)


def check(form: Form, values: dict[str, str], table: Table | None) -> None:
    """Raise LOCAL_FORM_INVALID unless all that the form requires is there."""
    for name in form.tags:
        if not values.get(name):
            raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"{form.verb}.{name}: missing")
    if form.has_table and (table is None or not table.rows):
        raise OneCardError(
            errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"{form.verb}: the lines of the table are missing"
        )
