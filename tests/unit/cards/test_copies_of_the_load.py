"""The benchmark's copies differ from its snapshot by what is said to be planted, and by nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from onecard.card.v1 import comparison_pb2, snapshot_pb2
from onecard_adapters.load.copies import KINDS, copied_cards, copy_of, write_cards
from onecard_adapters.load.messages import identity_number
from onecard_broker.operations.card_comparison import kind_of
from onecard_protocol.card_snapshot import SnapshotReader, cards_of

Key = tuple[str, int]
Copies = dict[Key, comparison_pb2.CopiedCard]


def test_the_planted_differences_are_the_only_ones_and_of_both_machines(tmp_path: Path) -> None:
    file = tmp_path / "cards.snapshot"
    write_cards(file, 2_000, has_accounts=True)
    with file.open("rb") as stream:
        registered = by_key(
            copy_of(snapshot_pb2.SnapshotCard.FromString(card))
            for _, block in SnapshotReader(stream).blocks()
            for card in cards_of(block)
        )
    planted, in_accounts = Counter[str](), Counter[str]()
    copied = by_key(copied_cards(2_000, 200, planted, in_accounts))

    assert planted == dict.fromkeys(KINDS, 40)
    found = {key: difference(registered.get(key), copied.get(key)) for key in registered.keys() | copied.keys()}
    assert Counter(kind for kind in found.values() if kind) == planted
    of_accounts = [key for key in registered.keys() & copied.keys() if account(registered[key]) != account(copied[key])]
    assert Counter(found[key] for key in of_accounts) == in_accounts
    assert in_accounts.keys() == {"other-version", "other-state"}
    known = {(registered[key].financial_version, copied[key].financial_version) for key in of_accounts}
    assert known == {(0, 2), (2, 0), (2, 1), (2, 3), (2, 2)}


def test_each_card_has_a_holder_of_its_own_beyond_the_birthdays_of_one_area() -> None:
    numbers = {identity_number(serial) for serial in range(1, 320_001)}
    assert len(numbers) == 320_000


def by_key(copies: Iterable[comparison_pb2.CopiedCard]) -> Copies:
    return {(copy.card.number, copy.card.sequence): copy for copy in copies}


def account(copy: comparison_pb2.CopiedCard) -> tuple[int, int]:
    return copy.financial_state, copy.financial_version


def difference(here: comparison_pb2.CopiedCard | None, there: comparison_pb2.CopiedCard | None) -> str:
    return kind_of(None if here is None else comparison_pb2.RegistryCard(copied=here), there) or ""
