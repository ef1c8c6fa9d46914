"""The Go example against a real gateway and worker, with a recipient of the test's own making."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import control_pb2, errors_pb2, message_pb2
from onecard.medical.v1 import coverage_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.records.live_connection import LiveConnection
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import MESSAGE_CONTEXT, Message, build_header, from_wire, reference_to, timestamp
from onecard_protocol.signatures.blocks import sign_batch
from tests.support.directories import FOREVER_MS, NETWORK, certificate_name, numbered
from tests.support.gateway import Hub, Receiver, eventually, running_hub
from tests.support.go_programs import Ended, run
from tests.support.messages import COVERAGE, person

pytest_plugins = ("tests.support.engines", "tests.support.first_client")
pytestmark = [pytest.mark.needs("go"), pytest.mark.timeout(400)]

KEY_ID = "cn-44-go"
PERSONAL_NUMBER = "5100000001"


def covered(request: Message) -> tuple[message_pb2.MessageKind, ProtoMessage]:
    """What the insured province knows of the person asked about."""
    asked = coverage_pb2.QueryCoverageRequest.FromString(request.payload)
    insured_number = medical_values_pb2.InsuredNumber(insurance_area="510100", personal_number=PERSONAL_NUMBER)
    return message_pb2.MESSAGE_KIND_REPLY, coverage_pb2.QueryCoverageResponse(
        person=asked.person, insured_number=insured_number
    )


class GoClient:
    """The program as cn-44, with a key of its own in the directory."""

    def __init__(self, program: Path, hub: Hub, directory: Path) -> None:
        self._program = program
        self._hub = hub
        self._key_file = directory / "client.key"
        self._request = directory / "request.json"
        self._request.write_text(json.dumps({"person": {"number": person().number}, "insuranceArea": "510100"}))

    async def register(self) -> None:
        """Let the program make its key, and put the key into the directory as the hub's operator does."""
        made = await run(self._program, f"-new-key={self._key_file}")
        assert made.code == 0, made.errors or made.output
        assert self._key_file.stat().st_mode & 0o777 == 0o600
        private = self._key_file.read_bytes()
        again = await run(self._program, f"-new-key={self._key_file}")
        assert (again.code, "file exists" in again.errors) == (1, True), "a key in use is never overwritten"
        assert self._key_file.read_bytes() == private
        key = control_pb2.ParticipantKey(
            participant="cn-44",
            key_id=KEY_ID,
            public_key=bytes.fromhex(made.output),
            not_before_time=timestamp(0),
            not_after_time=timestamp(FOREVER_MS),
        )
        database = LiveConnection(self._hub.dsn, application_name="test directory")
        store = DirectoryStore(database)
        version = (await store.load()).version + 1
        await store.append(
            numbered(control_pb2.ControlRecord(put_key=key), first=version),
            self._hub.signers["cn-00"],
            network=NETWORK,
            now_ms=now_ms(),
        )
        await database.close()
        await eventually(lambda: self._hub.gateways[0]._directory.directory.version == version)

    async def ask(self, **flags: str) -> Ended:
        """Ask about the person; flags replace those that are right."""
        files = self._hub.authority.issue(certificate_name("cn-44"))
        every = {
            "gateway": f"127.0.0.1:{self._hub.gateways[0].port}",
            "ca": str(files.authority_file),
            "certificate": str(files.certificate_file),
            "certificate_key": str(files.private_key_file),
            "network": NETWORK,
            "key_id": KEY_ID,
            "key": str(self._key_file),
            **flags,
        }
        return await run(
            self._program, *(f"-{name.replace('_', '-')}={value}" for name, value in every.items()), self._request
        )


@pytest.fixture
async def hub(first_client: Path, postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub that starts when the program is built, because building it blocks the event loop."""
    del first_client
    async with running_hub(postgres_dsn, tmp_path / "hub") as running:
        yield running


@pytest.fixture
async def client(first_client: Path, hub: Hub, tmp_path: Path) -> GoClient:
    made = GoClient(first_client, hub, tmp_path)
    await made.register()
    return made


async def test_a_signed_call_from_go_is_answered_and_everything_that_comes_back_is_checked(
    hub: Hub, client: GoClient
) -> None:
    async with hub.receiver("cn-51") as insured:
        insured.answer = covered
        ended = await client.ask()
        (request,) = await insured.messages(1)

    assert ended.code == 0, ended.errors or ended.output
    answer = json.loads(ended.output)
    assert answer["person"]["number"] == person().number
    assert answer["insuredNumber"] == {"insuranceArea": "510100", "personalNumber": PERSONAL_NUMBER}
    assert f"receipt: message {request.header.id.hex()} is in the journal" in ended.errors
    assert "answer: signed by who was asked, bound to the request" in ended.errors


async def reply_by_batch(hub: Hub, receiver: Receiver, place: int, count: int) -> None:
    """Answer the newest delivery with a message that was signed as one of many."""
    delivery = receiver.deliveries[-1]
    request = from_wire(delivery.message)
    kind, answer = covered(request)
    payload = answer.SerializeToString()

    def header(reply_to: message_pb2.RequestReference) -> bytes:
        return build_header(
            network=NETWORK,
            sender="cn-51",
            recipient="cn-44",
            method=COVERAGE,
            kind=kind,
            message_id=new_message_id(now_ms()),
            payload=payload,
            reply_to=reply_to,
        )

    reference = reference_to(request, log_epoch=receiver.log_epoch, partition=delivery.partition)
    headers = [header(reference) for _ in range(count)]
    block = sign_batch(hub.signers["cn-51"], MESSAGE_CONTEXT, headers)[place]
    (result,) = await hub.submit(
        "cn-51", message_pb2.SignedMessage(header=headers[place], payload=payload, signature=block)
    )
    assert result.HasField("receipt"), result


async def test_an_answer_that_was_signed_by_the_batch_is_checked_by_its_proof(hub: Hub, client: GoClient) -> None:
    async with hub.receiver("cn-51") as insured:
        for asked, (place, count) in enumerate([(0, 2), (2, 3), (4, 5), (3, 7), (8, 9)], 1):
            asking = asyncio.create_task(client.ask())
            await insured.messages(asked)
            await reply_by_batch(hub, insured, place, count)
            ended = await asking
            assert ended.code == 0, f"leaf {place} of {count}: {ended.errors}"


async def test_a_signed_refusal_is_shown_with_its_reason(hub: Hub, client: GoClient) -> None:
    def refuse(_: Message) -> tuple[message_pb2.MessageKind, ProtoMessage]:
        return message_pb2.MESSAGE_KIND_REJECTION, message_pb2.Rejection(reason=errors_pb2.ERROR_REASON_NOT_INSURED)

    async with hub.receiver("cn-51") as insured:
        insured.answer = refuse
        ended = await client.ask()

    assert ended.code == 1
    assert 'reason:"NOT_INSURED"' in ended.errors.replace(" ", "")
    assert "does not verify" not in ended.errors


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"key_id": "cn-51-1"}, "KEY_OF_OTHER_PARTICIPANT"),
        ({"key_id": "cn-44-1"}, "SIGNATURE_INVALID"),
        ({"participant": "cn-51", "key_id": "cn-51-1"}, "CERTIFICATE_MISMATCH"),
        ({"network": "production"}, "WRONG_NETWORK"),
        ({"recipient": "cn-64"}, "RECIPIENT_UNKNOWN"),
    ],
)
async def test_a_call_that_is_not_right_is_refused_with_its_reason(
    client: GoClient, flags: dict[str, str], reason: str
) -> None:
    ended = await client.ask(**flags)

    assert ended.code == 1
    assert f'reason:"{reason}"' in ended.errors.replace(" ", "")
    assert person().number not in ended.errors
