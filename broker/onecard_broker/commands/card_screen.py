"""A person's cards and a replacement as tables, in the reader's language. Codes stand as the protocol names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from onecard_protocol.explained import Language, Text

_PERSON: Final = {
    "number": Text(en="person", zh="证件号码"),
    "name": Text(en="name", zh="姓名"),
    "subject": Text(en="subject", zh="化名"),
    "linked_to": Text(en="stands under", zh="已关联至"),
    "linked_from": Text(en="also under", zh="关联自"),
    "followers": Text(en="followed by", zh="订阅方"),
}
_CARDS: Final = Text(en="cards", zh="社保卡")
_CARD: Final = {
    "issuer": Text(en="issuer", zh="发卡地"),
    "number": Text(en="number", zh="卡号"),
    "sequence": Text(en="seq", zh="序号"),
    "social": Text(en="social", zh="社保应用"),
    "financial": Text(en="account", zh="金融账户"),
    "bank": Text(en="bank", zh="银行"),
    "generation": Text(en="gen", zh="代"),
    "expiry_day": Text(en="expires", zh="有效期"),
    "changed_time": Text(en="changed", zh="变更时间"),
}
_UNEVEN: Final = Text(en="events that did not come, or came late or again", zh="未到、迟到或重复的事件")
_UNEVEN_ROW: Final = {
    "issuer": Text(en="issuer", zh="发卡地"),
    "number": Text(en="number", zh="卡号"),
    "machine": Text(en="of", zh="所属"),
    "missing": Text(en="versions asked for", zh="已索要版本"),
    "late_count": Text(en="late or again", zh="迟到或重复"),
}
_NEVER: Final = Text(en="never", zh="长期")
_REPLACEMENTS: Final = Text(en="replacements", zh="换卡业务")
_REPLACEMENT: Final = {
    "id": Text(en="id", zh="业务编号"),
    "phase": Text(en="phase", zh="阶段"),
    "old_card": Text(en="old card", zh="原卡"),
    "new_card": Text(en="new card", zh="新卡"),
    "began_time": Text(en="began", zh="开始"),
}
_SAGA: Final = {
    **_REPLACEMENT,
    "id": Text(en="replacement", zh="换卡业务"),
    "ended_time": Text(en="ended", zh="结束"),
    "benefit_due_time": Text(en="benefit account due", zh="待遇账户期限"),
}
_ALARM: Final = Text(en="alarm", zh="告警")
_NOT_CONFIRMED: Final = Text(en="the benefit account was not confirmed in time", zh="待遇账户逾期未确认")
_STEP: Final = {
    "step": Text(en="step", zh="步骤"),
    "phase": Text(en="phase", zh="阶段"),
    "recipient": Text(en="at", zh="办理方"),
    "attempt": Text(en="asked", zh="次数"),
    "changed_time": Text(en="changed", zh="变更"),
    "reason": Text(en="why", zh="原因"),
    "local_id": Text(en="local id", zh="本地编号"),
}


def listing(
    titles: Sequence[Text],
    rows: Sequence[Sequence[str]],
    language: Language,
    *,
    title: str = "",
    whole: Sequence[int] = (),
) -> Table:
    """Rows of text under titles; the columns at the places `whole` are not broken into lines."""
    table = Table(box=None, header_style="bold", title=title or None, title_justify="left")
    for place, one in enumerate(titles):
        table.add_column(one.of(language), no_wrap=place in whole, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def shown_person(person: Mapping[str, Any], language: Language) -> Group:
    """A person with cards and replacements, as `card show` tells them as data."""
    cards = [
        (
            card["issuer"],
            card["number"],
            str(card["sequence"]),
            f"{card['social']['state']} v{card['social']['version']}",
            f"{card['financial']['state']} v{card['financial']['version']}",
            card["bank"],
            str(card["generation"]),
            str(card["expiry_day"] or _NEVER.of(language)),
            card["social"]["changed_time"][:19],
        )
        for card in person["cards"]
    ]
    parts: list[Any] = [
        _head(person, _PERSON, language),
        "",
        listing(tuple(_CARD.values()), cards, language, title=_CARDS.of(language), whole=(0, 1, 8)),
    ]
    uneven = [
        (
            card["issuer"],
            card["number"],
            _CARD[name].of(language),
            ", ".join(f"{first}-{last}" for first, last in card[name]["missing"]),
            str(card[name]["late_count"]),
        )
        for card in person["cards"]
        for name in ("social", "financial")
        if card[name]["missing"] or card[name]["late_count"]
    ]
    if uneven:
        parts += ["", listing(tuple(_UNEVEN_ROW.values()), uneven, language, title=_UNEVEN.of(language))]
    if person["replacements"]:
        rows = [
            (one["id"], one["phase"], one["old_card"], one["new_card"], one["began_time"][:19])
            for one in person["replacements"]
        ]
        parts += ["", listing(tuple(_REPLACEMENT.values()), rows, language, title=_REPLACEMENTS.of(language))]
    return Group(*parts)


def shown_saga(replacement: Mapping[str, Any], language: Language) -> Group:
    """A replacement step by step, as `card saga` tells it as data."""
    head = _head(replacement, _SAGA, language)
    if replacement["is_alarmed"]:
        head.add_row(_ALARM.of(language), _NOT_CONFIRMED.of(language))
    steps = [
        (
            step["step"],
            step["phase"],
            step["recipient"],
            str(step["attempt"]),
            step["changed_time"][5:19],
            step["reason"],
            step["local_id"],
        )
        for step in replacement["steps"]
    ]
    return Group(head, "", listing(tuple(_STEP.values()), steps, language, whole=(0, 1, 2, 4)))


def _head(told: Mapping[str, Any], titles: Mapping[str, Text], language: Language) -> Table:
    head = Table(box=None, show_header=False)
    for name, title in titles.items():
        value = told[name]
        if value:
            head.add_row(title.of(language), escape(", ".join(value) if isinstance(value, list) else str(value)))
    return head
