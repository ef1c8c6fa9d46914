"""The loads of cards: statuses read by the batch and one by one, and the time from a loss to its refusal.

All cards are told of first, so that whatever is read is known. Both loads run in one process with its own connection.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Final

from onecard.card.v1 import status_pb2, status_pb2_grpc
from onecard_adapters.load import card_messages
from onecard_adapters.load.events import BATCH_COUNT, EventSender, card_changes, open_gateway, open_sender
from onecard_adapters.load.sending import Sent
from onecard_adapters.sdk.gateways import Gateway
from onecard_adapters.settings import AdapterSettings
from onecard_protocol.clock import now_ms

CARD_COUNT: Final = 10_000
QUESTION_COUNT: Final = 50
_CALL_SECONDS: Final = 10.0
_KNOWN_SECONDS: Final = 120
_LOSS_BATCH_COUNT: Final = 25
_WATCHED_OF: Final = 4
"""One of so many batches is watched: asking costs more than changing."""
_POLL_SECONDS: Final = 0.02


def _stub(gateway: Gateway) -> status_pb2_grpc.CardStatusServiceStub:
    return status_pb2_grpc.CardStatusServiceStub(gateway.channel)


async def make_known(settings: AdapterSettings, *, by_batch: bool) -> int:
    """Tell of all cards, and wait until the registry knows the last ones; how many messages that took.

    Raises RuntimeError for a refusal.
    """
    told = Sent()
    async with open_sender(settings, card_changes(1, CARD_COUNT), told, by_batch=by_batch) as sender:
        for _ in range(CARD_COUNT // BATCH_COUNT):
            await sender.submit()
    if told.failures:
        raise RuntimeError(f"cards were refused: {sorted(set(told.failures))}")
    questions = [card_messages.question(serial) for serial in range(CARD_COUNT - BATCH_COUNT + 1, CARD_COUNT + 1)]
    request = status_pb2.BatchGetCardStatusRequest(questions=questions, purpose=card_messages.PURPOSE)
    async with open_gateway(settings) as (_, gateway), asyncio.timeout(_KNOWN_SECONDS):
        while True:
            response = await _stub(gateway).BatchGetCardStatus(request, timeout=_CALL_SECONDS)
            if all(answer.cards for answer in response.answers):
                return told.message_count
            await asyncio.sleep(0.2)


async def read_statuses(
    settings: AdapterSettings, sent: Sent, *, until_ms: int, concurrency: int, question_count: int
) -> None:
    """Ask until the time, `concurrency` calls at once, each about known cards; what is answered STALE counts apart."""
    serials = itertools.cycle(range(1, CARD_COUNT + 1))

    async def ask(gateway: Gateway) -> None:
        stub = _stub(gateway)
        while now_ms() < until_ms:
            begun_ms = now_ms()
            questions = [card_messages.question(next(serials)) for _ in range(question_count)]
            if question_count == 1:
                one = status_pb2.GetCardStatusRequest(question=questions[0], purpose=card_messages.PURPOSE)
                answers = [(await stub.GetCardStatus(one, timeout=_CALL_SECONDS)).answer]
            else:
                many = status_pb2.BatchGetCardStatusRequest(questions=questions, purpose=card_messages.PURPOSE)
                answers = list((await stub.BatchGetCardStatus(many, timeout=_CALL_SECONDS)).answers)
            stale = sum(answer.freshness != status_pb2.FRESHNESS_FRESH for answer in answers)
            unknown = sum(not answer.cards for answer in answers) - stale
            sent.failures += ["UNKNOWN_CARD"] * unknown
            sent.stale_count += stale
            sent.note(begun_ms, question_count - stale - unknown)

    async with open_gateway(settings) as (_, gateway):
        await asyncio.gather(*[ask(gateway) for _ in range(concurrency)])


async def lose_cards(
    settings: AdapterSettings, sent: Sent, *, until_ms: int, rate_per_s: float, by_batch: bool
) -> None:
    """Report changes at the rate; of some batches' losses one is watched at a counter until it is refused.

    What is noted are the watched losses: from the making of the message to the first refusal. What was submitted is all
    counted.
    """
    known = Sent()
    stream = card_changes(1, CARD_COUNT)
    for _ in itertools.islice(stream.payloads, CARD_COUNT):
        pass  # Version 1 was told by `make_known`.
    loop = asyncio.get_running_loop()
    begun = loop.time()
    watching: set[asyncio.Task[None]] = set()

    async def watch(gateway: Gateway, serial: int, made_ms: int) -> None:
        stub, request = _stub(gateway), card_messages.verification(serial)
        while now_ms() < made_ms + _CALL_SECONDS * 1000:
            response = await stub.VerifyCard(request, timeout=_CALL_SECONDS)
            if response.verdict == status_pb2.CARD_VERDICT_TEMPORARILY_LOST:
                sent.note(made_ms, 0)
                return
            await asyncio.sleep(_POLL_SECONDS)
        sent.failures.append("NOT_REFUSED")

    async def submit(sender: EventSender, gateway: Gateway, number: int) -> None:
        made_ms = now_ms()
        await sender.submit(_LOSS_BATCH_COUNT)
        version, place = divmod(number * _LOSS_BATCH_COUNT, CARD_COUNT)
        if version % 2 == 0 and number % _WATCHED_OF == 0:  # The stream goes on with version 2, which is a loss.
            await watch(gateway, place + 1, made_ms)

    async with (
        open_sender(settings, stream, known, by_batch=by_batch) as sender,
        open_gateway(settings) as (_, gateway),
    ):
        for number in itertools.count():
            await asyncio.sleep(max(0.0, begun + number * _LOSS_BATCH_COUNT / rate_per_s - loop.time()))
            if now_ms() >= until_ms:
                break
            task = loop.create_task(submit(sender, gateway, number))
            watching.add(task)
            task.add_done_callback(watching.discard)
        await asyncio.gather(*watching)
    sent.message_count += known.message_count
    sent.failures += known.failures
