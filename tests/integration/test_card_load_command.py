"""`onecard card load`, as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onecard.exchange.v1 import errors_pb2
from onecard_broker.bootstrap import create_subject_key
from onecard_broker.commands.card import app
from onecard_protocol.card_snapshot import write_snapshot
from onecard_protocol.errors import OneCardError
from onecard_protocol.explained import ExitCode
from tests.support.card_snapshots import citizen, snapshot_card
from tests.support.hub_files import write_hub_configuration

pytest_plugins = ("tests.support.engines",)


@pytest.fixture
def config(postgres_dsn: str, tmp_path: Path) -> Path:
    create_subject_key(tmp_path / "subject.key")
    return write_hub_configuration(tmp_path, postgres_dsn)


def test_a_snapshot_is_loaded_and_what_is_left_for_a_person_is_listed_without_numbers(
    config: Path, tmp_path: Path
) -> None:
    file = tmp_path / "cards"
    cards = [snapshot_card(1), snapshot_card(2, person_index=9), snapshot_card(3, person_index=9), snapshot_card(4)]
    cards[3].social.data.generation = 9
    with file.open("wb") as stream:
        write_snapshot(stream, "cn-11", 4, [card.SerializeToString() for card in cards])

    told = CliRunner().invoke(app, ["load", str(file), "--config", str(config), "--json"])

    figures = json.loads(told.stdout)
    assert (figures["cards"], figures["taken"], figures["known"], figures["left"]) == (4, 1, 0, 3)
    assert [(one["card"], one["cause"], one["detail"]) for one in figures["left_cards"]] == [
        (2, "two-active", ""),
        (3, "two-active", ""),
        (4, "data", "social.data.generation: is not 1 to 3"),
    ]
    assert told.exit_code == ExitCode.FOUND_WRONG
    shown = CliRunner().invoke(app, ["load", str(file), "--config", str(config)])
    assert "1 known already, 3 left out" in " ".join(shown.stdout.split())
    assert "social.data.generation" in shown.stdout.replace("\n", "")
    assert "两张在用卡" in shown.stdout.replace("\n", "")
    assert citizen(9) not in shown.stdout + told.stdout


def test_a_damaged_snapshot_is_named_as_one(config: Path, tmp_path: Path) -> None:
    file = tmp_path / "cards"
    file.write_bytes(b"onecard-cards 1 cn-11 1\n")

    told = CliRunner().invoke(app, ["load", str(file), "--config", str(config)])

    assert isinstance(told.exception, OneCardError)
    assert told.exception.reason == errors_pb2.ERROR_REASON_SNAPSHOT_INVALID
