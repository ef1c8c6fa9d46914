"""The benchmark's copies differ from its snapshot by what is said to be planted, and by nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from onecard.card.v1 import change_pb2, snapshot_pb2
from onecard_adapters.load.copies import KINDS, copied_changes, write_cards
from onecard_adapters.load.messages import identity_number
from onecard_protocol.card_snapshot import SnapshotReader, cards_of

Key = tuple[str, int]


def test_the_planted_differences_are_the_only_ones(tmp_path: Path) -> None:
    file = tmp_path / "cards.snapshot"
    write_cards(file, 1_000)
    with file.open("rb") as stream:
        registered = by_key(
            snapshot_pb2.SnapshotCard.FromString(card).social
            for _, block in SnapshotReader(stream).blocks()
            for card in cards_of(block)
        )
    planted: Counter[str] = Counter()
    copied = by_key(copied_changes(1_000, 50, planted))

    assert planted == dict.fromkeys(KINDS, 10)
    found: Counter[str] = Counter()
    for key in registered.keys() | copied.keys():
        found[difference(registered.get(key), copied.get(key))] += 1
    assert found == planted | {"": 1_000 - 40}


def test_each_card_has_a_holder_of_its_own_beyond_the_birthdays_of_one_area() -> None:
    numbers = {identity_number(serial) for serial in range(1, 320_001)}
    assert len(numbers) == 320_000


def by_key(changes: object) -> dict[Key, change_pb2.ReportSocialChangeRequest]:
    made = {}
    for change in changes:  # type: ignore[attr-defined]
        change.ClearField("occurred_time")
        made[change.card.number, change.card.sequence] = change
    return made


def difference(
    here: change_pb2.ReportSocialChangeRequest | None, there: change_pb2.ReportSocialChangeRequest | None
) -> str:
    if here is None:
        return "missing-here"
    if there is None:
        return "missing-there"
    if here.version != there.version:
        return "other-version"
    if here.state != there.state:
        return "other-state"
    return "" if here == there else "other-data"
