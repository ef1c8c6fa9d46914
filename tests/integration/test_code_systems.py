"""One participant's names of code systems do not use up the numbers that the registry has for all."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from onecard.exchange.v1 import message_pb2
from onecard_broker.domain.card_state import Card, Cardholder, LocalStatus, Machine, holder_key
from onecard_broker.operations.card_loading import CardLoader
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import connect
from onecard_protocol import limits
from onecard_protocol.card_snapshot import write_snapshot
from onecard_protocol.clock import now_ms
from onecard_protocol.errors import OneCardError, reason_name
from tests.support.card_reports import REPORT_SOCIAL, recognition_code, social_report
from tests.support.card_snapshots import snapshot_card
from tests.support.eventually import eventually
from tests.support.gateway import Hub, running_hub
from tests.support.messages import make_signed

pytest_plugins = ("tests.support.engines",)


async def report(hub: Hub, sender: str, serial: int, system: str, gateway: int = 0) -> str:
    """Submit a report of a card whose local status is of this system; returns what became of it."""
    told = social_report(serial, issuer=sender)
    told.local_status.system = system
    told.data.recognition_code = recognition_code(serial, f"{sender[3:]}0000")
    message = make_signed(
        hub.signers[sender],
        told,
        now_ms=now_ms(),
        sender=sender,
        recipient="cn-00",
        method=REPORT_SOCIAL,
        kind=message_pb2.MESSAGE_KIND_EVENT,
    )
    (result,) = await hub.submit(sender, message, gateway=gateway)
    return "RECEIPT" if result.WhichOneof("result") == "receipt" else reason_name(result.refusal.reason)


async def test_who_names_too_many_is_refused_and_nobody_else_is(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CARD_CODE_SYSTEMS_PER_PARTICIPANT_COUNT_MAX", 2)
    participants = ("cn-00", "cn-11", "cn-45")
    async with running_hub(postgres_dsn, tmp_path, participants=participants, patterns=("/onecard.*",)) as hub:
        told = [await report(hub, "cn-11", index + 1, system) for index, system in enumerate("abcaca")]
        others = await report(hub, "cn-45", 9, "c")

    assert told == ["RECEIPT", "RECEIPT", "PAYLOAD_INVALID", "RECEIPT", "PAYLOAD_INVALID", "RECEIPT"]
    assert others == "RECEIPT"


async def test_who_named_too_many_is_refused_by_a_gateway_that_started_since(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CARD_CODE_SYSTEMS_PER_PARTICIPANT_COUNT_MAX", 2)
    participants = ("cn-00", "cn-11", "cn-45")
    async with running_hub(postgres_dsn, tmp_path, participants=participants, patterns=("/onecard.*",)) as hub:

        async def told(sender: str, serial: int, system: str) -> str:
            return await report(hub, sender, serial, system, gateway=len(hub.gateways) - 1)

        assert [await told("cn-11", index + 1, system) for index, system in enumerate("ab")] == ["RECEIPT"] * 2
        with psycopg.connect(postgres_dsn, autocommit=True) as connection:
            numbered = "SELECT count(*) FROM card_code_systems WHERE system IN ('a', 'b')"
            await eventually(lambda: connection.execute(numbered).fetchone() == (2,))
        await hub.add_gateway()

        assert await told("cn-11", 3, "c") == "PAYLOAD_INVALID"
        assert await told("cn-11", 4, "a") == "RECEIPT"
        # What stands in the registry costs no number, whoever names it.
        assert [await told("cn-45", index + 5, system) for index, system in enumerate("abcd")] == ["RECEIPT"] * 4
        assert await told("cn-45", 9, "e") == "PAYLOAD_INVALID"


async def test_where_all_numbers_are_used_up_only_what_needs_a_new_one_is_held(postgres_dsn: str) -> None:
    async with await connect(postgres_dsn, application_name="registry") as connection:
        registry = CardRegistry()
        await registry.prepare(connection, range(4))

        async def save(subject: str, system: str) -> None:
            status = Machine(state=2, version=1, local=LocalStatus(system=system, version="1", code="1"))
            holder = Cardholder(subject=subject, cards=(Card(issuer="cn-11", number="A1", sequence=1, social=status),))
            async with connection.transaction(), connection.pipeline():
                await registry.save(connection, {(0, holder_key(subject)): (None, holder)})

        await save("aa" * 32, "known")
        await connection.execute("SELECT setval(pg_get_serial_sequence('card_code_systems', 'id'), 32767)")

        with pytest.raises(psycopg.DataError):  # The worker holds such a record, and nothing but its person waits.
            await save("bb" * 32, "new")
        await save("cc" * 32, "known")


async def test_a_snapshot_that_names_too_many_is_refused_whole(
    postgres_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CARD_CODE_SYSTEMS_PER_SNAPSHOT_COUNT_MAX", 3)
    cards = [snapshot_card(index) for index in range(4)]
    for index, one in enumerate(cards):
        one.social.local_status.system = f"invented {index}"
    file = tmp_path / "cards"
    with file.open("wb") as stream:
        write_snapshot(stream, "cn-11", len(cards), [one.SerializeToString(deterministic=True) for one in cards])
    loader = CardLoader(postgres_dsn, subject_key=bytes(32), partition_count=4, progress=lambda *_: None)

    with pytest.raises(OneCardError, match="code systems") as caught:
        await loader.load(file)

    assert reason_name(caught.value.reason) == "SNAPSHOT_INVALID"
    async with await connect(postgres_dsn, application_name="registry") as connection:
        counted = await (await connection.execute("SELECT count(*) FROM card_code_systems")).fetchone()
    assert counted == (0,)
