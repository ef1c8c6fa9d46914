"""Messages that their recipient gave up on, on each log: kept, waited for, and decided about (rule 13)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
import yaml
from typer.testing import CliRunner, Result

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2, values_pb2
from onecard.medical.v1 import filing_pb2
from onecard_broker.commands import deadletter
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.journal import question_record
from onecard_broker.log.port import Log
from onecard_broker.records.live_connection import LiveConnection
from onecard_broker.records.parking import list_held
from onecard_protocol.clock import now_ms
from onecard_protocol.explained import ExitCode, Explained
from onecard_protocol.identifiers import HUB, id_text
from onecard_protocol.messages import Message, reference_to
from tests.support.exchange import NETWORK, Exchange, make_message, new_signer, running_exchange

pytest_plugins = ("tests.support.engines",)

REPORT_FILING = "/onecard.medical.v1.FilingService/ReportFiling"
WITHDRAW_FILING = "/onecard.medical.v1.FilingService/WithdrawFiling"
PERSON = values_pb2.PersonIdentity(number="510000199001019918")
SIGNER = new_signer("cn-51-key")


@pytest.fixture
async def exchange(log_opener: Callable[[], Awaitable[Log]], postgres_dsn: str) -> AsyncIterator[Exchange]:
    """A running exchange on each log."""
    async with running_exchange(await log_opener(), postgres_dsn) as running:
        yield running


def event() -> Message:
    """A filing, told by the insured province to the place of care."""
    return make_message(
        sender="cn-51",
        recipient="cn-44",
        method=REPORT_FILING,
        payload=filing_pb2.ReportFilingRequest(person=PERSON),
        kind=message_pb2.MESSAGE_KIND_EVENT,
        signer=SIGNER,
    )


def withdrawal() -> Message:
    """A request with effect about the same person, from the place of care."""
    payload = filing_pb2.WithdrawFilingRequest(person=PERSON)
    return make_message(
        sender="cn-44",
        recipient="cn-51",
        method=WITHDRAW_FILING,
        payload=payload,
        created_ms=now_ms() + 60_000,  # A slow machine must not let it expire.
    )


def report_of(exchange: Exchange, message: Message) -> Message:
    """The recipient's report to the hub, as its adapter makes it."""
    return make_message(
        sender=message.header.recipient,
        recipient=HUB,
        method=message.header.method,
        payload=message_pb2.DeliveryReport(
            reason=errors_pb2.ERROR_REASON_PROCESSING_FAILED, detail="LOCAL_SYSTEM_DOWN", attempt_count=6
        ),
        kind=message_pb2.MESSAGE_KIND_DELIVERY_REPORT,
        reply_to=reference_to(message, log_epoch=exchange.log.epoch, partition=3),
    )


async def given_up(exchange: Exchange) -> tuple[Message, list[Message]]:
    """An event that was given up on, and two events of the person behind it."""
    first, behind = event(), [event(), event()]
    await exchange.append([(3, "aa", first)])
    await exchange.drained()
    await exchange.append([(3, "", report_of(exchange, first)), *((3, "aa", one) for one in behind)])
    await exchange.drained()
    return first, behind


async def delivered(exchange: Exchange, participant: str) -> list[Message]:
    """The messages in an inbox, in order."""
    return [one.message for one in await exchange.inbox(participant)]


async def dispose(
    exchange: Exchange, message: Message, disposition: control_pb2.Disposition, *, number: int = 1
) -> None:
    """An operator decides; wait until the decision has reached the partition."""
    database = LiveConnection(exchange.dsn, application_name="test")
    decision = control_pb2.MessageDisposition(
        partition=3, sender=message.header.sender, id=message.header.id, disposition=disposition, cause="test"
    )
    try:
        record = control_pb2.ControlRecord(number=number, dispose_message=decision)
        await DirectoryStore(database).append([record], exchange.signer, network=NETWORK, now_ms=now_ms())
    finally:
        await database.close()
    await exchange.control_reached(number)


async def dead_letters(exchange: Exchange) -> list[tuple[bytes, int]]:
    """Ids of the dead letters, and how many wait behind each."""
    async with await psycopg.AsyncConnection.connect(exchange.dsn, autocommit=True) as connection:
        return [(one.id, one.waiting_count) for one in await list_held(connection) if one.report is not None]


async def test_replay_sends_the_stored_bytes_again_and_then_those_behind_it(exchange: Exchange) -> None:
    """Also by a worker that starts anew: who waits for what stands in the database."""
    first, behind = await given_up(exchange)
    assert await delivered(exchange, "cn-44") == [first]
    assert await dead_letters(exchange) == [(first.header.id, 2)]
    question = question_record(
        behind[0], partition=3, pseudonym="aa", admitted_ms=now_ms(), directory_version=0, question_id=bytes(16)
    )
    await exchange.append_records([question])
    await exchange.drained()
    (told,) = await delivered(exchange, "cn-51")
    assert message_pb2.OutcomeReport.FromString(told.payload).open_state == message_pb2.OPEN_STATE_HELD
    await exchange.stop()
    await exchange.start()
    await dispose(exchange, first, control_pb2.DISPOSITION_REPLAY)
    assert await delivered(exchange, "cn-44") == [first, first, *behind]
    assert await dead_letters(exchange) == []


async def test_release_lets_the_others_go_and_the_dead_letter_can_still_be_replayed(exchange: Exchange) -> None:
    """In the order of the operator's decisions."""
    first, behind = await given_up(exchange)
    await dispose(exchange, first, control_pb2.DISPOSITION_RELEASE)
    assert await delivered(exchange, "cn-44") == [first, *behind]
    assert await dead_letters(exchange) == [(first.header.id, 0)]
    await dispose(exchange, first, control_pb2.DISPOSITION_REPLAY, number=2)
    assert await delivered(exchange, "cn-44") == [first, *behind, first]


async def test_discard_lets_the_others_go_and_tells_nobody_of_an_event(exchange: Exchange) -> None:
    """An event has no outcome."""
    first, behind = await given_up(exchange)
    await dispose(exchange, first, control_pb2.DISPOSITION_DISCARD)
    assert await delivered(exchange, "cn-44") == [first, *behind]
    assert await delivered(exchange, "cn-51") == []
    assert await dead_letters(exchange) == []


async def test_a_late_answer_ends_the_dead_letter_and_those_behind_it_go_on(exchange: Exchange) -> None:
    """Rule 12 wins: what has its outcome holds nobody up, and needs no operator."""
    request, behind = withdrawal(), event()
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    await exchange.append([(3, "", report_of(exchange, request)), (3, "aa", behind)])
    await exchange.drained()
    assert await delivered(exchange, "cn-44") != []
    assert behind not in await delivered(exchange, "cn-44")
    (received,) = await exchange.inbox("cn-51")
    answer = await exchange.answer(received, filing_pb2.WithdrawFilingResponse(filing_id="F1"))
    await exchange.drained()
    assert (await delivered(exchange, "cn-44"))[1:] == [answer, behind]
    assert await dead_letters(exchange) == []


async def test_two_dead_letters_of_one_person_hold_the_others_until_both_are_decided(exchange: Exchange) -> None:
    """The second was on its way before the first was given up on."""
    first, second, behind = event(), event(), event()
    await exchange.append([(3, "aa", first), (3, "aa", second)])
    await exchange.drained()
    await exchange.append([(3, "", report_of(exchange, one)) for one in (first, second)] + [(3, "aa", behind)])
    await exchange.drained()
    await dispose(exchange, first, control_pb2.DISPOSITION_DISCARD)
    assert await delivered(exchange, "cn-44") == [first, second]
    await dispose(exchange, second, control_pb2.DISPOSITION_DISCARD, number=2)
    assert await delivered(exchange, "cn-44") == [first, second, behind]


async def test_what_was_let_go_goes_on_after_a_crash_in_between(exchange: Exchange) -> None:
    """Waiting rows without anything to wait for are what a worker leaves that dies between two transactions."""
    first, behind = await given_up(exchange)
    await exchange.stop()
    async with await psycopg.AsyncConnection.connect(exchange.dsn, autocommit=True) as connection:
        await connection.execute("DELETE FROM parked WHERE is_offender")
    await exchange.start()
    later = event()
    await exchange.append([(3, "aa", later)])
    await exchange.drained()
    assert await delivered(exchange, "cn-44") == [first, *behind, later]


async def run_command(exchange: Exchange, directory: Path, *arguments: str) -> Result:
    """`onecard deadletter` with this hub's configuration."""
    tls = {f"{name}_file": f"{name}.pem" for name in ("certificate", "private_key", "client_authority")}
    config = {
        "network": NETWORK,
        "database": exchange.dsn,
        "signing_key": {"file": "hub.json", "passphrase_file": "passphrase"},
        "subject_key_file": "subject.key",
        "gateway": {"listen": "127.0.0.1:0", "tls": tls},
    }
    (directory / "hub.yaml").write_text(yaml.safe_dump(config))
    command = [*arguments, "--config", str(directory / "hub.yaml")]
    return await asyncio.to_thread(lambda: CliRunner().invoke(deadletter.app, command))


async def test_an_operator_sees_who_gave_up_and_what_can_only_be_discarded(
    exchange: Exchange, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired request is not replayed: the command says so before it signs anything."""
    request = withdrawal()
    assert request.execute_before_ms is not None
    await exchange.append([(3, "aa", request)])
    await exchange.drained()
    await exchange.append([(3, "", report_of(exchange, request)), (3, "aa", event())])
    await exchange.drained()
    monkeypatch.setattr(deadletter, "now_ms", lambda: request.created_ms)
    (row,) = json.loads((await run_command(exchange, tmp_path, "list", "--json")).stdout)
    assert (row["kind"], row["sender"], row["given_up_by"]) == ("dead-letter", "cn-44", "cn-51")
    assert (row["reason"], row["detail"], row["attempts"]) == ("PROCESSING_FAILED", "LOCAL_SYSTEM_DOWN", 6)
    assert (row["id"], row["method"], row["waiting"]) == (id_text(request.header.id), WITHDRAW_FILING, 1)
    assert row["replayable"]
    expires_ms = request.execute_before_ms
    monkeypatch.setattr(deadletter, "now_ms", lambda: expires_ms)
    table = (await run_command(exchange, tmp_path, "list")).stdout
    assert all(text in table for text in (row["id"], "given up by cn-51", "PROCESSING_FAILED", "(LOCAL_SYSTEM_DOWN)"))
    refused = await run_command(exchange, tmp_path, "replay", row["id"], "--cause", "test")
    not_held = await run_command(exchange, tmp_path, "replay", id_text(event().header.id), "--cause", "test")
    for told, words in ((refused, "only be discarded"), (not_held, "No message of this id is held")):
        assert isinstance(told.exception, Explained)
        assert told.exception.explanation.exit_code == ExitCode.REFUSED
        assert words in str(told.exception.args)
