"""Run the obvious stack on one Kafka broker and print what it does: `python -m tests.bench.obvious --engine gmssl`."""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import queue
import statistics
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import psycopg
from kafka.admin import KafkaAdminClient, NewTopic

from onecard_stubs.dev.kafka import KafkaCluster
from onecard_stubs.dev.postgres import EmbeddedPostgres
from tests.bench.obvious import parts


async def measure(engine: str, seconds: float, threads: int) -> dict[str, Any]:
    """Run for the time given, after two seconds that do not count."""
    directory = Path(tempfile.mkdtemp(prefix="onecard-obvious-"))
    async with EmbeddedPostgres(directory / "postgres") as postgres, KafkaCluster(directory / "kafka") as kafka:
        with psycopg.connect(postgres.dsn()) as connection:
            connection.execute(parts.SCHEMA)
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        admin.create_topics([NewTopic(name, 1, 1) for name in (parts.JOURNAL, parts.INBOX)])
        admin.close()
        return await asyncio.to_thread(run, engine, seconds, threads, kafka.bootstrap_servers, postgres.dsn())


def run(engine: str, seconds: float, threads: int, bootstrap: str, dsn: str) -> dict[str, Any]:
    """Start the processes, load them, count what arrived."""
    context = multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    ready = [context.Event() for _ in range(3)]
    arrived: Any = context.Queue()
    sent: Any = context.Queue()
    processes: dict[str, BaseProcess] = {
        "gateway": context.Process(target=parts.gateway, args=(engine, bootstrap, port, ready[0])),
        "worker": context.Process(target=parts.worker, args=(bootstrap, dsn, ready[1])),
        "receiver": context.Process(target=parts.receiver, args=(engine, bootstrap, ready[2], arrived)),
    }
    for process in processes.values():
        process.start()
    try:
        for event in ready:
            if not event.wait(60):
                raise RuntimeError("a process of the obvious stack did not start")
        warm = time.monotonic() + 2
        deadline = warm + seconds
        sender = context.Process(target=parts.sender, args=(engine, port.value, deadline, threads, sent))
        processes["sender"] = sender
        sender.start()
        ids = [message_id for _ in range(threads) for message_id in sent.get(timeout=seconds + 120)]
        rows = collect(arrived, len(ids))
        usage = {name: used(process) for name, process in processes.items() if process.is_alive()}
    finally:
        for process in processes.values():
            process.kill()
    latencies = sorted(latency for _, latency, at in rows if warm <= at <= deadline) or [0]
    received = [message_id for message_id, _, _ in rows]
    return {
        "name": f"obvious stack, {engine}",
        "log": "kafka",
        "signing": "single",
        "rate_per_s": len([1 for _, _, at in rows if warm <= at <= deadline]) / seconds,
        "p50_ms": statistics.median(latencies),
        "p99_ms": latencies[int(len(latencies) * 0.99)],
        "lost": len(set(ids) - set(received)),
        "doubled": len(received) - len(set(received)),
        "processes": {
            name: {"cpu_us_per_message": cpu * 1e6 / max(1, len(ids)), "peak_mb": peak}
            for name, (cpu, peak) in usage.items()
        },
    }


def collect(arrived: Any, count: int) -> list[tuple[bytes, int, float]]:
    """What arrives until all did, or nothing more does for 20 s."""
    rows: list[tuple[bytes, int, float]] = []
    while len(rows) < count:
        try:
            rows.append(arrived.get(timeout=20))
        except queue.Empty:
            break
    return rows


def used(process: BaseProcess) -> tuple[float, float]:
    """CPU seconds and resident megabytes."""
    shown = psutil.Process(process.pid)
    times = shown.cpu_times()
    return times.user + times.system, shown.memory_info().rss / 1e6


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=["gmssl", "tongsuopy"], default="gmssl")
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = asyncio.run(measure(arguments.engine, arguments.seconds, arguments.threads))
    if not arguments.json:
        print(f"{result['name']}: {result['rate_per_s']:.0f} a second, p50 {result['p50_ms']} ms")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
