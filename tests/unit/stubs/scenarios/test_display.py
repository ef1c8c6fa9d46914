"""The result of a drill as a person reads it: yuan, sums, the journey's steps, in both languages."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
from rich.console import Console

from onecard_protocol.explained import Language, Text
from onecard_stubs.scenarios.accounts import Accounts
from onecard_stubs.scenarios.display import show, yuan
from onecard_stubs.scenarios.result import BillRow, Check, ScenarioResult, Shown, SplitRow, same


@pytest.mark.parametrize(
    ("amount_fen", "text"),
    [(0, "0.00"), (5, "0.05"), (123_456, "1,234.56"), (-123_456, "-1,234.56"), (-5, "-0.05"), (100, "1.00")],
)
def test_fen_are_shown_as_yuan_with_two_decimals(amount_fen: int, text: str) -> None:
    assert yuan(amount_fen) == text


def message(kind: str, *, is_good: bool = True, answers: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "id": "0123456789abcdef0123456789abcdef",
        "sender": "cn-44",
        "recipient": "cn-51",
        "method": "/onecard.medical.v1.SettlementService/Settle",
        "kind": kind,
        "payload": {"reason": "ERROR_REASON_CARD_UNKNOWN"} if kind == "rejection" else {},
        "created_ms": 1_700_000_000_000,
        "signature": {"is_good": is_good, "batch": [0, 3]},
        "journal": {"partition": 2, "position": 17, "append_time_ms": 1_700_000_000_012},
        "deliveries": [{"recipient": "cn-51", "partition": 2, "number": 4, "appended_ms": 1_700_000_000_030}],
        "answers": answers or [],
    }


def result(story: dict[str, Any], *, holds: bool = True) -> ScenarioResult:
    return ScenarioResult(
        scenario="medical",
        duration_ms=1_234,
        accounts=Accounts(
            sent=("a",), journaled=("a", "b"), rejected=(), unknown=(), lost=(), doubled=(), stories=(story,)
        ),
        checks=[Check(what=Text(en="it adds up", zh="勾稽一致"), holds=holds)],
        bill=[
            BillRow(
                fee_class="01",
                level="01",
                line_count=2,
                total_fen=10_000,
                full_self_pay_fen=0,
                over_limit_fen=1_000,
                preceding_fen=500,
                in_scope_fen=8_500,
            ),
            BillRow(
                fee_class="09",
                level="03",
                line_count=1,
                total_fen=5_050,
                full_self_pay_fen=5_050,
                over_limit_fen=0,
                preceding_fen=0,
                in_scope_fen=0,
            ),
        ],
        split=[SplitRow(name=Text(en="total", zh="总额"), trial_fen=15_050, settled_fen=15_050, is_sum=True)],
    )


def shown(found: ScenarioResult, language: Language, *, width: int = 120) -> str:
    output = io.StringIO()
    show(found, Console(file=output, width=width, highlight=False), language)
    return output.getvalue()


def test_the_bill_is_summed_and_its_classes_are_named() -> None:
    text = shown(result(message("request")), "en")
    total = next(line for line in text.splitlines() if line.strip().startswith("total"))
    assert "150.50" in total
    assert "85.00" in total
    assert "western medicine" in text


def test_the_journey_tells_journal_inbox_and_signature_with_times() -> None:
    text = shown(result(message("request", answers=[message("reply")])), "en")
    for part in ("cn-44 → cn-51", "journal 2:17 +12 ms", "inbox cn-51 2:4 +30 ms", "✓ SM2 signature (batch of 3)"):
        assert part in text


def test_the_name_of_a_step_is_whole_in_a_narrow_window() -> None:
    rejected = message("rejection") | {"sender": "bank-102", "recipient": "cn-00"}
    story = message("request", answers=[rejected])
    text = shown(result(story), "en", width=80)
    first_column = "".join(line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│"))
    assert first_column == "settlement(2304)01234567…cdef"
    assert "rejection CARD_UNKNOWN" in text, "and why"


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        ("en", ["How long it took", "what ms", "loss to refusal [a] 418", "Beijing's table is read every 200"]),
        ("zh", ["耗时", "项目 毫秒", "挂失至拒绝 [a] 418", "读取北京数据表的间隔 200"]),
    ],
)
def test_a_table_of_the_drills_own_is_shown_whole_and_word_for_word(language: Language, lines: list[str]) -> None:
    table = Shown(
        title=Text(en="How long it took", zh="耗时"),
        columns=(Text(en="what", zh="项目"), Text(en="ms", zh="毫秒")),
        rows=(
            (Text(en="loss to refusal [a]", zh="挂失至拒绝 [a]"), same("418")),
            (Text(en="Beijing's table is read every", zh="读取北京数据表的间隔"), same("200")),
        ),
    )
    drill = dataclasses.replace(result(message("request")), bill=(), split=(), tables=(table,))
    text = [" ".join(line.split()) for line in shown(drill, language).splitlines()]
    begin = text.index(lines[0])
    assert [line for line in text[begin : begin + 8] if line and "──" not in line][:4] == lines


def test_a_signature_that_fails_and_a_check_that_does_not_hold_are_seen() -> None:
    text = shown(result(message("request", is_good=False), holds=False), "en")
    assert "✗ SM2 signature fails" in text
    assert "✗ it adds up" in text


def test_a_chinese_reader_gets_chinese() -> None:
    text = shown(result(message("request", answers=[message("rejection")])), "zh")
    for part in ("住院费用（元）", "床位费", "甲类", "流水 2:17", "SM2 签名有效", "勾稽一致", "丢失 0"):
        assert part in text


def test_a_drill_is_good_only_without_loss_and_with_every_check() -> None:
    assert result(message("request")).is_good
    assert not result(message("request"), holds=False).is_good


def test_the_figures_are_those_that_every_drill_prints() -> None:
    figures = result(message("request")).figures()
    assert {"scenario", "messages", "rejected", "unknown", "lost", "doubled", "duration_ms"} <= figures.keys()
    assert (figures["messages"], figures["lost"], figures["duration_ms"]) == (2, 0, 1_234)
