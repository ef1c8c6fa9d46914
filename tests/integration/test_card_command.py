"""`onecard card show` and `saga`: what the registry holds, numbers masked unless for a reason that is kept."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner, Result

from onecard.card.v1 import replacement_pb2
from onecard_broker.admission.subject import Subjects
from onecard_broker.commands.card import app
from onecard_broker.commands.card_show import masked
from onecard_broker.domain.card_state import Cardholder, Step, holder_key
from onecard_broker.domain.replacement_states import ReplacementPhase, StepPhase
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol.explained import ExitCode, Explained
from onecard_protocol.identifiers import id_text, message_id_from
from onecard_protocol.identity import normalise_identity
from tests.support.cardholders import replacing_holder
from tests.support.hub_files import write_hub_configuration
from tests.support.messages import citizen_number

pytest_plugins = ("tests.support.engines",)

NUMBER = citizen_number(1)
REPLACEMENT = message_id_from(1_790_000_000_000, b"replacement")
LATE = message_id_from(1_790_000_000_001, b"late again")
SUBJECTS = Subjects(bytes(32), 8)
SUBJECT = SUBJECTS.pseudonym(normalise_identity("01", NUMBER))


def holder() -> Cardholder:
    return replacing_holder(SUBJECT, REPLACEMENT, number=NUMBER)


async def fill(dsn: str, before: Cardholder | None, after: Cardholder) -> None:
    database = LiveConnection(dsn, application_name="test")
    try:
        connection, registry = await database.get(), CardRegistry()
        partition = SUBJECTS.partition_of_pseudonym(SUBJECT)
        await registry.prepare(connection, [partition])
        async with connection.transaction():
            await registry.save(connection, {(partition, holder_key(SUBJECT)): (before, after)})
    finally:
        await database.close()


@pytest.fixture
def config(postgres_dsn: str, tmp_path: Path) -> Path:
    asyncio.run(fill(postgres_dsn, None, holder()))
    file = write_hub_configuration(tmp_path, postgres_dsn)
    key = tmp_path / "subject.key"
    key.touch(mode=0o600)
    key.write_text(bytes(32).hex())
    return file


def run(config: Path, *arguments: str, number: str = "") -> Result:
    return CliRunner().invoke(app, [arguments[0], "--config", str(config), *arguments[1:]], input=number)


def kept_reads(dsn: str) -> list[tuple[str, bool, str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(
            "SELECT subject, is_revealed, reason FROM operator_reads WHERE operator LIKE '%@%' ORDER BY read_ms"
        ).fetchall()


def test_a_persons_cards_are_shown_with_masked_numbers_and_the_look_is_kept(config: Path, postgres_dsn: str) -> None:
    result = run(config, "show", "--person-number", "--json", number=NUMBER + "\n")

    person = json.loads(result.stdout[result.stdout.index("{") :])
    assert [card["social"]["state"] for card in person["cards"]] == ["ACTIVE", "SUPERSEDED"]
    assert (person["number"], person["cards"][0]["number"]) == (masked(NUMBER), "***02")
    assert NUMBER not in result.output
    assert "测试人" not in result.output
    assert "A00000002" not in result.output
    assert kept_reads(postgres_dsn) == [(SUBJECT, False, "")]


def test_what_did_not_come_and_what_came_late_is_shown_and_told_as_data(config: Path, postgres_dsn: str) -> None:
    even = run(config, "show", "--subject", SUBJECT)
    before = holder()
    old, new = before.cards
    uneven = dataclasses.replace(new, social=dataclasses.replace(new.social, missing=((4, 6),), late_count=2))
    asyncio.run(fill(postgres_dsn, before, dataclasses.replace(before, cards=(old, uneven))))

    shown = run(config, "show", "--subject", SUBJECT)
    told = run(config, "show", "--subject", SUBJECT, "--json")

    assert "late or again" not in even.stdout
    assert re.search(r"\*\*\*02 +social +4-6 +2", shown.stdout)
    person = json.loads(told.stdout[told.stdout.index("{") :])
    assert [(card["social"]["missing"], card["social"]["late_count"]) for card in person["cards"]] == [
        ([[4, 6]], 2),
        ([], 0),
    ]


def test_numbers_in_full_need_a_reason_which_is_kept(config: Path, postgres_dsn: str) -> None:
    with_none = run(config, "show", "--subject", SUBJECT, "--reveal")
    with_one = run(config, "show", "--subject", SUBJECT, "--reveal", "--reason", "complaint 17")

    assert isinstance(with_none.exception, Explained)
    assert NUMBER in with_one.stdout
    assert "A00000002" in with_one.stdout
    assert kept_reads(postgres_dsn) == [(SUBJECT, True, "complaint 17")]


def test_nothing_is_shown_where_the_look_cannot_be_kept(config: Path, postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute("ALTER TABLE operator_reads ADD CONSTRAINT full_disk CHECK (operator = '')")

    result = run(config, "show", "--subject", SUBJECT)

    assert isinstance(result.exception, psycopg.Error)
    assert "A00" not in result.output


def test_a_person_without_cards_is_told_in_both_languages(config: Path) -> None:
    result = run(config, "show", "--person-number", number=citizen_number(3) + "\n")

    assert isinstance(result.exception, Explained)
    assert (result.exception.explanation.reason, result.exception.explanation.what.zh) == (
        "CARD_UNKNOWN",
        "持卡库中没有该人员的卡。",
    )
    assert citizen_number(3) not in repr(result.exception.explanation)


@pytest.mark.parametrize("arguments", [(), ("--person-number", "--subject", SUBJECT), ("--subject", NUMBER)])
def test_a_person_is_named_in_one_way_and_never_by_a_number_in_the_command_line(
    config: Path, arguments: tuple[str, ...]
) -> None:
    result = run(config, "show", *arguments)

    assert isinstance(result.exception, Explained)
    assert result.exception.explanation.exit_code == ExitCode.USAGE
    assert NUMBER not in repr(result.exception.explanation)


def test_a_replacement_is_told_step_by_step(config: Path) -> None:
    result = run(config, "saga", id_text(REPLACEMENT), "--json")
    shown = run(config, "saga", id_text(REPLACEMENT))

    told = json.loads(result.stdout)
    assert [(step["step"], step["phase"], step["reason"]) for step in told["steps"]] == [
        ("NEW_ENABLED", "done", ""),
        ("OLD_SUPERSEDED", "retrying", "LOCAL_SYSTEM_DOWN"),
    ]
    assert (told["phase"], told["old_card"]) == ("running", "cn-11 ***01 1")
    assert "OLD_SUPERSEDED" in shown.stdout


def waiting_holder() -> Cardholder:
    """A replacement with a step that is stuck, and one whose benefit account was not confirmed in time."""
    stuck, late = (dataclasses.replace(holder().replacements[0], id=one) for one in (REPLACEMENT, LATE))
    refused = dataclasses.replace(stuck.steps[1], phase=StepPhase.STUCK)
    benefit = Step(
        step=replacement_pb2.REPLACEMENT_STEP_BENEFIT_ACCOUNT_CHANGED, phase=StepPhase.OPEN, recipient="cn-11"
    )
    return dataclasses.replace(
        holder(),
        replacements=(
            dataclasses.replace(stuck, phase=ReplacementPhase.STUCK, steps=(stuck.steps[0], refused)),
            dataclasses.replace(
                late,
                phase=ReplacementPhase.OPEN,
                steps=(late.steps[0], benefit),
                benefit_due_ms=1_790_000_002_000,
                is_alarmed=True,
            ),
        ),
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_shown_stands_under_titles_of_the_readers_language(
    config: Path, postgres_dsn: str, language: str
) -> None:
    asyncio.run(fill(postgres_dsn, holder(), waiting_holder()))
    locale = {"en": "en_GB.UTF-8", "zh": "zh_CN.UTF-8"}[language]
    commands = {
        "show": ("show", "--subject", SUBJECT),
        "saga": ("saga", id_text(LATE)),
        "sagas": ("sagas",),
    }
    runner = CliRunner(env={"LC_ALL": locale, "COLUMNS": "200"})
    shown = {
        name: runner.invoke(app, [first, "--config", str(config), *rest]).stdout
        for name, (first, *rest) in commands.items()
    }

    titles = {
        "show": {
            "en": "issuer seq account expires never replacements",
            "zh": "发卡地 序号 金融账户 有效期 长期 换卡业务",
        },
        "saga": {"en": "step asked changed alarm", "zh": "步骤 次数 变更 告警 待遇账户逾期未确认"},
        "sagas": {"en": "replacement since why", "zh": "换卡业务 起始时间 原因"},
    }
    for name, words in titles.items():
        other = "zh" if language == "en" else "en"
        assert [word for word in words[language].split() if word not in shown[name]] == []
        assert [word for word in words[other].split() if word in shown[name].split()] == []


def test_replacements_that_wait_for_a_person_are_listed_and_were_told_in_the_log(
    config: Path, postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert json.loads(run(config, "sagas", "--json").stdout) == []

    asyncio.run(fill(postgres_dsn, holder(), waiting_holder()))

    told = json.loads(run(config, "sagas", "--json").stdout)
    assert [(one["id"], one["step"], one["phase"], one["reason"]) for one in told] == [
        (id_text(REPLACEMENT), "OLD_SUPERSEDED", "stuck", "LOCAL_SYSTEM_DOWN"),
        (id_text(LATE), "BENEFIT_ACCOUNT_CHANGED", "open", "OVERDUE"),
    ]
    assert {(one["subject"], one["recipient"]) for one in told} == {(SUBJECT, "cn-11")}
    assert [one["since_time"][-14:-6] for one in told] == ["22:13:21", "22:13:22"]
    assert json.loads(run(config, "sagas", "--stuck", "--json").stdout) == told[:1]
    assert json.loads(run(config, "sagas", "--overdue", "--json").stdout) == told[1:]
    warned = [record.getMessage() for record in caplog.records if record.name.endswith("card_waiting")]
    assert [line[:44] for line in warned] == [f"replacement {id_text(one)}" for one in (REPLACEMENT, LATE)]
    assert not any(hidden in line for line in warned for hidden in (NUMBER, SUBJECT, "A0000000"))
    # What stays as it is is not told again.
    asyncio.run(fill(postgres_dsn, waiting_holder(), waiting_holder()))
    assert len([record for record in caplog.records if record.name.endswith("card_waiting")]) == 2


def test_a_replacement_that_is_none_is_told(config: Path) -> None:
    unknown = id_text(message_id_from(1, b"another one"))

    for word, exit_code in ((unknown, ExitCode.REFUSED), ("17", ExitCode.USAGE)):
        told = run(config, "saga", word).exception
        assert isinstance(told, Explained)
        assert told.explanation.exit_code == exit_code
