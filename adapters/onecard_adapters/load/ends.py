"""The two ends of the load as processes: open the exchange, send or answer, write the figures."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from onecard_adapters.load import cards, reports
from onecard_adapters.load.events import EventReceiver, EventStream, card_changes, filings, open_sender
from onecard_adapters.load.receiving import Insured, Received, register
from onecard_adapters.load.sending import Sender, Sent
from onecard_adapters.runtime.sealing import load_sealer
from onecard_adapters.sdk.assembly import Timing
from onecard_adapters.sdk.exchange import Exchange
from onecard_adapters.sdk.opening import connection_of, signatures_of
from onecard_adapters.settings import AdapterSettings
from onecard_protocol.clock import now_ms

QUIET_SECONDS: Final = 3.0
LOSS_RATE_PER_S: Final = 500.0
EVENT_KINDS: Final = frozenset({"events", "cards", "loss"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send: a kind, for how long, how many at once (events: batches of them) or how many a second."""

    kind: str
    seconds: float
    warm_up_seconds: float
    concurrency: int
    rate_per_s: float | None
    stay_count: int


def open_exchange(settings: AdapterSettings, *, signs_by_batch: bool, kind: str = "") -> Exchange:
    """As `Exchange.open`, with each message signed alone where the benchmark compares that; `calls` are typed ones."""
    signatures = dataclasses.replace(signatures_of(settings), by_batch=signs_by_batch)
    sealer = load_sealer(settings.store.key_file, settings.store.file)
    timing = Timing(typed_count_max=sys.maxsize) if kind == "calls" else Timing()
    return Exchange(connection_of(settings), signatures, store_file=settings.store.file, sealer=sealer, timing=timing)


def _announce(load: Load) -> tuple[int, int]:
    """Begin and end of the measured time, in ms, told to the benchmark."""
    begun_ms = now_ms() + round(load.warm_up_seconds * 1000)
    until_ms = begun_ms + round(load.seconds * 1000)
    print("ready", begun_ms, until_ms, flush=True)
    return begun_ms, until_ms


async def receive_until(
    participants: Sequence[AdapterSettings], stopping: asyncio.Event, report: Path, *, kind: str, signs_by_batch: bool
) -> None:
    """Answer until told to stop. The report's file appears empty when the exchange is ready.

    Events are received for any number of participants, calls are answered for one.
    """
    received = Received()
    if kind in EVENT_KINDS:
        await _receive_events(participants, stopping, report, received)
        return
    (settings,) = participants
    exchange = open_exchange(settings, signs_by_batch=signs_by_batch)
    register(Insured(received), exchange)
    async with exchange:
        await exchange.wait_ready()
        await asyncio.to_thread(report.touch)
        await stopping.wait()
        await _quiet(received)
        figures = reports.received_report(received)
    reports.write(report, figures)


async def _receive_events(
    participants: Sequence[AdapterSettings], stopping: asyncio.Event, report: Path, received: Received
) -> None:
    receivers = [EventReceiver(settings, received) for settings in participants]
    receiving = asyncio.ensure_future(_all([receiver.run() for receiver in receivers]))
    await asyncio.gather(*(receiver.ready.wait() for receiver in receivers))
    await asyncio.to_thread(report.touch)
    await asyncio.wait({asyncio.create_task(stopping.wait()), receiving}, return_when=asyncio.FIRST_COMPLETED)
    if receiving.done():
        await receiving
    await _quiet(received)
    receiving.cancel()
    reports.write(report, reports.received_report(received))


async def _all(running: Sequence[Coroutine[Any, Any, None]]) -> None:
    await asyncio.gather(*running)


async def _quiet(received: Received) -> None:
    """Wait until nothing more comes: what was sent last is still on its way when the sender ends."""
    count = -1
    while count != len(received.arrived_ms):
        count = len(received.arrived_ms)
        await asyncio.sleep(QUIET_SECONDS)


async def send_load(settings: AdapterSettings, load: Load, report: Path, *, signs_by_batch: bool) -> int:
    """Send the load and wait until all of it has left; returns how many units failed."""
    sent = Sent()
    match load.kind:
        case "events" | "cards":
            stream = filings() if load.kind == "events" else card_changes(1, cards.CARD_COUNT)
            begun_ms, until_ms = await _send_events(settings, load, stream, sent, signs_by_batch=signs_by_batch)
        case "statuses" | "status" | "loss":
            told_count = await cards.make_known(settings, by_batch=signs_by_batch)
            begun_ms, until_ms = _announce(load)
            if load.kind == "loss":
                sent.message_count = told_count
                rate = load.rate_per_s or LOSS_RATE_PER_S
                await cards.lose_cards(settings, sent, until_ms=until_ms, rate_per_s=rate, by_batch=signs_by_batch)
            else:
                count = cards.QUESTION_COUNT if load.kind == "statuses" else 1
                await cards.read_statuses(
                    settings, sent, until_ms=until_ms, concurrency=load.concurrency, question_count=count
                )
        case _:
            begun_ms, until_ms = await _call(settings, load, sent, signs_by_batch=signs_by_batch)
    reports.write(report, {**reports.sent_report(sent), "begun_ms": begun_ms, "until_ms": until_ms})
    return len(sent.failures)


async def _send_events(
    settings: AdapterSettings, load: Load, stream: EventStream, sent: Sent, *, signs_by_batch: bool
) -> tuple[int, int]:
    begun_ms, until_ms = _announce(load)
    async with open_sender(settings, stream, sent, by_batch=signs_by_batch) as sender:
        await sender.repeat(until_ms=until_ms, concurrency=load.concurrency, rate_per_s=load.rate_per_s)
    return begun_ms, until_ms


async def _call(settings: AdapterSettings, load: Load, sent: Sent, *, signs_by_batch: bool) -> tuple[int, int]:
    async with open_exchange(settings, signs_by_batch=signs_by_batch, kind=load.kind) as exchange:
        await exchange.wait_ready()
        sender = Sender(exchange, sent)
        if load.stay_count:
            await sender.prepare_stays(load.stay_count, load.concurrency)
        begun_ms, until_ms = _announce(load)
        await sender.run(load.kind, until_ms=until_ms, concurrency=load.concurrency, rate_per_s=load.rate_per_s)
    return begun_ms, until_ms
