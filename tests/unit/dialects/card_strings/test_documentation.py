"""The page about card offices and the dialects' own tables say the same, and name samples that exist."""

from pathlib import Path

from onecard_adapters.dialects.card_columns import CardTrade
from onecard_adapters.dialects.card_strings.verbs import FORMS
from onecard_adapters.dialects.cross_region_xml import cards as xml_cards
from onecard_adapters.dialects.infno import cards as infno_cards

_ROOT = Path(__file__).parents[4]
_PAGE = (_ROOT / "docs/dialects/card-strings.md").read_text(encoding="utf-8")


def _rows(after: str) -> list[list[str]]:
    table = _PAGE.partition(after)[2].lstrip("\n").partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_page_lists_every_verb_as_the_dialect_knows_it() -> None:
    assert _rows("### Verbs\n") == [
        [
            form.verb.value,
            form.title,
            form.direction.name.lower(),
            " ".join(f"`{name}`" for name in form.samples) or "ours",
        ]
        for form in FORMS.values()
    ]


def test_every_sample_named_exists() -> None:
    for form in FORMS.values():
        for name in form.samples:
            assert (_ROOT / "tests/samples/card" / name).is_file()


def test_the_page_lists_every_trade_of_columns_with_its_numbers() -> None:
    rows = _rows("Their paths are other than those of medical care.\n")
    assert [row[:3] for row in rows] == [
        [trade.value, infno_cards.NUMBERS[trade], xml_cards.NUMBERS[trade]] for trade in CardTrade
    ]
