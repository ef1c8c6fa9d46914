"""The lines that an encounter holds are what its uploads and withdrawals, one after the other, leave."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from onecard.medical.v1.encounter_pb2 import FeeLine
from onecard_adapters.dialects.infno import fees, trades
from tests.support.edge_memory import edge_memory

_IDS = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)
_AMOUNT = st.integers(-(10**12), 10**12)
_UPLOAD = st.dictionaries(st.sampled_from("abcd"), st.tuples(*[_AMOUNT] * 5), min_size=1)
_STEPS = st.lists(_UPLOAD | _IDS | st.none(), max_size=6)
_Step = dict[str, tuple[int, ...]] | list[str] | None
_FIELDS = ("amount_fen", "full_self_pay_fen", "over_limit_self_pay_fen", "preceding_self_pay_fen", "in_scope_fen")


@settings(max_examples=30, deadline=None)
@given(_STEPS)
def test_an_encounter_holds_what_uploads_and_withdrawals_leave(steps: list[_Step]) -> None:
    asyncio.run(_carry_out(steps))


def _line(line_id: str, amounts: tuple[int, ...]) -> FeeLine:
    line = FeeLine(line_id=line_id)
    for name, amount in zip(_FIELDS, amounts, strict=True):
        setattr(line, name, amount)
    return line


async def _carry_out(steps: list[_Step]) -> None:
    expected: dict[str, tuple[int, ...]] = {}
    with tempfile.TemporaryDirectory() as directory:
        async with edge_memory(Path(directory)) as memory:
            ledger = fees.FeeLedger(memory)
            for number, step in enumerate(steps):
                if isinstance(step, dict):
                    expected |= step
                    lines = [_line(line_id, amounts) for line_id, amounts in step.items()]
                    method, attributes = trades.UPLOAD_FEE_LINES, fees.upload_attributes(lines, {"a": "b-1"})
                else:
                    for line_id in list(expected) if step is None else step:
                        expected.pop(line_id, None)
                    method, attributes = trades.WITHDRAW_FEE_LINES, fees.withdrawal_attributes(step)
                message_id = number.to_bytes(16, "big")
                await memory.remember_transaction("H1", str(number), b"d", message_id, method, "e-1", attributes)
                # Another visit, and what was only asked for, count for nothing.
                await memory.remember_transaction(
                    "H1", f"o{number}", b"d", b"o" + message_id, method, "e-2", attributes
                )
                asked = {"lines": "{}"}
                await memory.remember_transaction("H1", f"p{number}", b"d", b"p" + message_id, method, "e-1", asked)
                held = ledger.held("e-1")
                assert {
                    line_id: (
                        line.total_fen,
                        line.full_self_pay_fen,
                        line.over_limit_fen,
                        line.preceding_fen,
                        line.in_scope_fen,
                    )
                    for line_id, line in held.items()
                } == expected
                assert {line.batch for line_id, line in held.items() if line_id == "a"} <= {"b-1"}
                totals = fees.totals_of(held.values())
                sums = [sum(amounts) for amounts in zip(*expected.values(), strict=True)] or [0] * 5
                assert [totals.total_fen, *(getattr(totals, name) for name in _FIELDS[1:])] == sums
