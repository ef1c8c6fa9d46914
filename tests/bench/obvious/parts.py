"""The processes of the obvious stack, each as a first version of such a broker would be written.

sender → gateway (checks the signature, sends to Kafka and waits) → worker (reads one record, one transaction, sends to
the inbox and waits) → receiver (reads the inbox, checks the signature, notes the time). Written without tricks;
producer acknowledged by all replicas, consumer positions committed by the client's own timer (committing each by itself
made it slower still), repeats found in the database.
"""

from __future__ import annotations

import multiprocessing.synchronize
import time
from concurrent import futures
from multiprocessing.queues import Queue
from typing import Any, Final

import grpc
import psycopg
from kafka import KafkaConsumer, KafkaProducer

from onecard.exchange.v1 import message_pb2
from onecard.medical.v1 import encounter_pb2
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import MESSAGE_CONTEXT, build_header
from onecard_protocol.signatures.blocks import BlockVerifier, sign_one
from onecard_protocol.signatures.engine import Engine, pure_engine
from onecard_protocol.signatures.signer import EngineSigner
from tests.bench.plain import plain_tongsuopy

JOURNAL: Final = "obvious.journal"
INBOX: Final = "obvious.inbox"
SUBMIT: Final = "/obvious.Broker/Submit"
PRIVATE_KEY: Final = bytes.fromhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
SCHEMA: Final = """
CREATE TABLE seen (sender text, id bytea, PRIMARY KEY (sender, id));
CREATE TABLE state (subject text PRIMARY KEY, count bigint NOT NULL);
CREATE TABLE outputs (id bytea PRIMARY KEY, message bytea NOT NULL);
"""


def engine_of(name: str) -> Engine:
    """The SM2 engine by the name of its library."""
    return plain_tongsuopy() if name == "tongsuopy" else pure_engine()


def is_genuine(verifier: BlockVerifier, signed: message_pb2.SignedMessage, public_key: bytes) -> bool:
    """Whether the message's signature holds."""
    block = message_pb2.SignatureBlock.FromString(signed.signature)
    return verifier.verify(MESSAGE_CONTEXT, signed.header, block, public_key)


def gateway(engine_name: str, bootstrap: str, port: Any, ready: multiprocessing.synchronize.Event) -> None:
    """Take messages in: verify, send to Kafka, wait for the acknowledgement."""
    engine = engine_of(engine_name)
    verifier, public_key = BlockVerifier(engine), engine.public_key(PRIVATE_KEY)
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")

    def submit(request: bytes, context: grpc.ServicerContext) -> bytes:
        signed = message_pb2.SignedMessage.FromString(request)
        if not is_genuine(verifier, signed, public_key):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "signature")
        producer.send(JOURNAL, request).get(timeout=30)
        return b""

    handler = grpc.method_handlers_generic_handler(
        "obvious.Broker", {"Submit": grpc.unary_unary_rpc_method_handler(submit)}
    )
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((handler,))
    port.value = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ready.set()
    server.wait_for_termination()


def worker(bootstrap: str, dsn: str, ready: multiprocessing.synchronize.Event) -> None:
    """One record, one transaction, one send at a time."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    consumer = KafkaConsumer(
        JOURNAL,
        bootstrap_servers=bootstrap,
        group_id="obvious",
        auto_offset_reset="earliest",
    )
    with psycopg.connect(dsn) as connection:
        ready.set()
        for record in consumer:
            signed = message_pb2.SignedMessage.FromString(record.value)
            header = message_pb2.MessageHeader.FromString(signed.header)
            request = encounter_pb2.RegisterRequest.FromString(signed.payload)
            with connection.transaction():
                inserted = connection.execute(
                    "INSERT INTO seen (sender, id) VALUES (%s, %s) ON CONFLICT DO NOTHING", (header.sender, header.id)
                )
                if inserted.rowcount:
                    connection.execute(
                        "INSERT INTO state (subject, count) VALUES (%s, 1)"
                        " ON CONFLICT (subject) DO UPDATE SET count = state.count + 1",
                        (request.person.number,),
                    )
                    connection.execute(
                        "INSERT INTO outputs (id, message) VALUES (%s, %s)", (header.id, bytes(record.value))
                    )
            if inserted.rowcount:
                producer.send(INBOX, record.value).get(timeout=30)


def receiver(engine_name: str, bootstrap: str, ready: multiprocessing.synchronize.Event, arrived: Queue[Any]) -> None:
    """Read the inbox, check each message and note how long it took from its creation."""
    engine = engine_of(engine_name)
    verifier, public_key = BlockVerifier(engine), engine.public_key(PRIVATE_KEY)
    consumer = KafkaConsumer(INBOX, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    ready.set()
    for record in consumer:
        signed = message_pb2.SignedMessage.FromString(record.value)
        if is_genuine(verifier, signed, public_key):
            header = message_pb2.MessageHeader.FromString(signed.header)
            created_ms = header.created_time.ToMilliseconds()
            arrived.put((header.id, now_ms() - created_ms, time.monotonic()))


def sender(engine_name: str, port: int, deadline: float, thread_count: int, sent: Queue[Any]) -> None:
    """Sign and submit until the deadline (monotonic seconds), each thread one message at a time."""
    signer = EngineSigner(engine_of(engine_name), "sender", PRIVATE_KEY)
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    submit: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(SUBMIT)

    def run() -> list[bytes]:
        ids: list[bytes] = []
        while time.monotonic() < deadline:
            payload = example_payload()
            message_id = new_message_id(now_ms())
            header = build_header(
                network="test-obvious",
                sender="cn-44",
                recipient="cn-51",
                method="/onecard.medical.v1.EncounterService/Register",
                kind=message_pb2.MESSAGE_KIND_REQUEST,
                message_id=message_id,
                payload=payload,
                execute_before_ms=now_ms() + 10_000,
            )
            signature = sign_one(signer, MESSAGE_CONTEXT, header)
            submit(
                message_pb2.SignedMessage(header=header, payload=payload, signature=signature).SerializeToString(),
                timeout=30,
            )
            ids.append(message_id)
        return ids

    with futures.ThreadPoolExecutor(thread_count) as pool:
        for future in [pool.submit(run) for _ in range(thread_count)]:
            sent.put(future.result())


def example_payload() -> bytes:
    """A registration of about the size of those in the measurements (688 bytes)."""
    request = encounter_pb2.RegisterRequest(
        visit_id="S4401002611230000001", institution_number="ZY0000000001", department_name="内科" * 40
    )
    request.person.number = "510000199001019918"
    request.insured_number.personal_number = "5100009900000001"
    request.institution.code = "H44019900001"
    request.institution.name = "示例医院" * 20
    return request.SerializeToString()
