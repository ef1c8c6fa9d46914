"""The page about the dialect and the dialect's own table say the same, and name samples that exist."""

from pathlib import Path

from onecard_adapters.dialects.infno.trades import TRADES
from onecard_protocol.methods import MethodRegistry

_ROOT = Path(__file__).parents[4]
_SAMPLES = _ROOT / "tests/samples/infno"


def _rows() -> list[list[str]]:
    text = (_ROOT / "docs/dialects/infno.md").read_text(encoding="utf-8")
    table = text.partition("## Trades")[2].partition("\n\nIn the insured role")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_lists_every_trade_as_the_dialect_serves_it() -> None:
    expected = [
        [
            trade.infno,
            trade.name,
            trade.method.removeprefix("/onecard.medical.v1.") or "stays in the province",
            trade.core or "not asked",
            trade.request_source,
            trade.answer_source,
        ]
        for trade in TRADES.values()
    ]
    assert _rows() == expected


def test_every_sample_named_exists_and_every_national_method_does() -> None:
    registry = MethodRegistry.load()
    for trade in TRADES.values():
        for source in (trade.request_source, trade.answer_source):
            assert source == "ours" or (_SAMPLES / source).is_file(), source
        if trade.method:
            assert registry[trade.method].has_effect is trade.has_effect, trade.infno
