"""`onecard bench`: how fast the exchange is on this machine, with the load included."""

from __future__ import annotations

import asyncio
import enum
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from onecard_protocol.commands.usage import refuse
from onecard_protocol.explained import Text
from onecard_protocol.running import run_service
from onecard_stubs.commands.usage import check_brokers

app: Final = typer.Typer(no_args_is_help=True, help="Measure the exchange on this machine, with the load included.")


class LogKind(enum.StrEnum):
    """Which log the hub writes its journal to."""

    EMBEDDED = "embedded"
    KAFKA = "kafka"


class Signing(enum.StrEnum):
    """How senders sign."""

    SINGLE = "single"
    ADAPTIVE = "adaptive"


class CardLoad(enum.StrEnum):
    """What is measured of cards."""

    CHANGES = "changes"
    """Changes told by the issuer, delivered to two provinces."""
    EVERYONE = "everyone"
    """Changes delivered to all 32 provinces."""
    STATUSES = "statuses"
    """Statuses read in queries of 50."""
    STATUS = "status"
    """Statuses read one by one."""
    LOSS = "loss"
    """The time from a loss to its refusal at a counter, at 500 changes a second."""


class Through(enum.StrEnum):
    """Which way settlements take."""

    DIALECTS = "dialects"
    SDK = "sdk"


LogOption = Annotated[LogKind, typer.Option("--log", help="The embedded log, or a real Kafka.")]
BrokersOption = Annotated[int, typer.Option("--brokers", help="Kafka brokers, 1 or 3.")]
SigningOption = Annotated[Signing, typer.Option("--signing", help="One signature each, or by the batch that waits.")]
SecondsOption = Annotated[float, typer.Option("--seconds", min=1, help="Measured time.")]
ConcurrencyOption = Annotated[
    int, typer.Option("--concurrency", min=1, help="Units of load under way at once, where no rate is given.")
]
BatchesOption = Annotated[int, typer.Option("--concurrency", min=1, help="Batches of 250 events under way at once.")]
RateOption = Annotated[float, typer.Option("--rate", min=0, help="Units a second; 0 means as many as go.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object alone.")]


@app.command()
def events(
    log: LogOption = LogKind.KAFKA,
    brokers: BrokersOption = 1,
    signing: SigningOption = Signing.ADAPTIVE,
    seconds: SecondsOption = 15,
    concurrency: BatchesOption = 4,
    rate: RateOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Signed events: submitted, journaled, applied, delivered, verified."""
    _run("events", log, brokers, signing, Through.SDK, seconds, concurrency, rate, as_json=as_json)


@app.command()
def calls(
    log: LogOption = LogKind.KAFKA,
    brokers: BrokersOption = 1,
    signing: SigningOption = Signing.ADAPTIVE,
    seconds: SecondsOption = 15,
    concurrency: ConcurrencyOption = 512,
    rate: RateOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Typed unary calls, each answered by the other province."""
    _run("calls", log, brokers, signing, Through.SDK, seconds, concurrency, rate, as_json=as_json)


@app.command()
def settlements(
    log: LogOption = LogKind.KAFKA,
    brokers: BrokersOption = 1,
    signing: SigningOption = Signing.ADAPTIVE,
    through: Annotated[Through, typer.Option(help="Through both local dialects, or the SDK alone.")] = Through.DIALECTS,
    seconds: SecondsOption = 15,
    concurrency: ConcurrencyOption = 512,
    rate: RateOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Settlements: a pre-settlement and a settlement each."""
    if through is Through.DIALECTS and signing is Signing.SINGLE:
        refuse(
            Text(
                en="Adapters sign by the batch that waits; one signature each is measured through the SDK only.",
                zh="适配器对等待中的报文合并签名；逐条签名只能通过 SDK 测量。",
            ),
            "--signing / --through",
            "bench settlements",
        )
    _run("settlements", log, brokers, signing, through, seconds, concurrency, rate, as_json=as_json)


_KIND_OF_CARD_LOAD: Final = {CardLoad.CHANGES: "cards"}
_CONCURRENCY_OF_CARD_LOAD: Final = {CardLoad.STATUSES: 16, CardLoad.STATUS: 64}
_UNREAD_OF_CARD_LOAD: Final = {
    CardLoad.STATUSES: ("signing", "rate"),
    CardLoad.STATUS: ("signing", "rate"),
    CardLoad.LOSS: ("concurrency",),
}
"""Options that say nothing of a load: reads are not signed and go as fast as they are answered, losses by the rate."""
_OF_THE_LOAD: Final = ("what", "signing", "seconds", "concurrency", "rate")


@app.command()
def cards(
    context: typer.Context,
    what: Annotated[CardLoad, typer.Option(help="What to measure of them.")] = CardLoad.CHANGES,
    log: LogOption = LogKind.KAFKA,
    brokers: BrokersOption = 1,
    signing: SigningOption = Signing.ADAPTIVE,
    seconds: SecondsOption = 15,
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=0, help="Batches of 250 changes, or queries, at once; 0: as fits.")
    ] = 0,
    rate: Annotated[float, typer.Option("--rate", min=0, help="Changes a second; 0: as many as go (loss: 500).")] = 0,
    drift: Annotated[bool, typer.Option("--drift", help="Instead: 200 differences found among --count cards.")] = False,
    registry: Annotated[
        bool, typer.Option("--registry", help="Instead: a snapshot of --count cards loaded; bytes a card.")
    ] = False,
    count: Annotated[int, typer.Option("--count", min=1_000, help="Cards of --drift and --registry.")] = 1_000_000,
    as_json: JsonOption = False,
) -> None:
    """Card changes applied and delivered, statuses read, losses refused; drift, and the registry's size."""
    if drift or registry:
        _refuse_given(context, "--registry" if registry else "--drift", *_OF_THE_LOAD)
        if registry:
            # The loader writes to PostgreSQL alone.
            _refuse_given(context, "--registry", "log", "brokers", "drift")
        _run_registry(log, brokers, count, drift=drift, as_json=as_json)
        return
    _refuse_given(context, f"--what {what.value}", "count", *_UNREAD_OF_CARD_LOAD.get(what, ()))
    kind = _KIND_OF_CARD_LOAD.get(what, what.value)
    at_once = concurrency or _CONCURRENCY_OF_CARD_LOAD.get(what, 4)
    _run(kind, log, brokers, signing, Through.SDK, seconds, at_once, rate, as_json=as_json)


def _refuse_given(context: typer.Context, beside: str, *names: str) -> None:
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            refuse(
                Text(
                    en=f"--{name} has no meaning beside {beside}: leave it out.",
                    zh=f"--{name} 与 {beside} 同时使用没有意义：请去掉。",
                ),
                f"--{name} / {beside}",
                "bench cards",
            )


def _run_registry(log: LogKind, brokers: int, count: int, *, drift: bool, as_json: bool) -> None:
    from onecard_stubs.bench.card_drift import DriftBenchmark, measure_drift
    from onecard_stubs.bench.card_registry import measure_registry

    check_brokers(log, brokers, "bench cards")
    with Console(stderr=True).status("starting") as status:
        say: Callable[[str], None] = status.update
        if drift:
            benchmark = DriftBenchmark(card_count=count, log=log.value, broker_count=brokers)
            figures = asyncio.run(measure_drift(benchmark, say))
        else:
            figures = asyncio.run(measure_registry(count, say))
    if not as_json:
        table = Table("figure", title=figures["name"])
        table.add_column("value", justify="right")
        for name, value in figures.items():
            table.add_row(name, json.dumps(value))
        Console().print(table)
    print(json.dumps(figures))
    raise typer.Exit(1 if figures.get("wrong") else 0)


@app.command(hidden=True)
def hospital(
    adapter_url: Annotated[str, typer.Option()],
    control_url: Annotated[str, typer.Option()],
    report: Annotated[Path, typer.Option()],
    stays: Annotated[int, typer.Option()],
    seconds: Annotated[float, typer.Option()],
    warm_up_seconds: Annotated[float, typer.Option()],
    concurrency: Annotated[int, typer.Option()],
    rate: Annotated[float, typer.Option()],
) -> None:
    """The load of a hospital, as `settlements --through dialects` starts it."""
    from onecard_stubs.bench.hospital_load import hospital_load

    failures = run_service(
        hospital_load(
            adapter_url=adapter_url,
            control_url=control_url,
            stay_count=stays,
            concurrency=concurrency,
            seconds=seconds,
            warm_up_seconds=warm_up_seconds,
            rate_per_s=rate,
            report=report,
        )
    )
    sys.exit(1 if failures else 0)


def _run(
    kind: Any,
    log: LogKind,
    brokers: int,
    signing: Signing,
    through: Through,
    seconds: float,
    concurrency: int,
    rate: float,
    *,
    as_json: bool,
) -> None:
    check_brokers(log, brokers, f"bench {kind}")

    from onecard_stubs.bench.measure import Benchmark, measure

    benchmark = Benchmark(
        kind=kind,
        log=log.value,
        broker_count=brokers,
        signing=signing.value,
        through=through.value,
        seconds=seconds,
        concurrency=concurrency,
        rate_per_s=rate,
    )
    console = Console(stderr=True)
    with console.status("starting") as status:
        say: Callable[[str], None] = status.update
        figures = asyncio.run(measure(benchmark, say))
    if not as_json:
        _show(figures)
    print(json.dumps(figures))
    raise typer.Exit(1 if figures["lost"] or figures["doubled"] or figures["failures"] else 0)


def _show(figures: dict[str, Any]) -> None:
    console = Console()
    way = {"dialects": "both dialects", "sdk": "the SDK"}[figures["through"]]
    name = f"settlements through {way}" if figures["name"] == "settlements" else figures["name"]
    brokers = f" ({figures['brokers']} brokers)" if figures["brokers"] > 1 else ""
    summary = Table(title=f"{name} on {figures['log']}{brokers}, signing {figures['signing']}")
    for column in ("a second", "p50 ms", "p99 ms", "lost", "doubled", "failed"):
        summary.add_column(column, justify="right")
    summary.add_row(
        f"{figures['rate_per_s']:,.0f}",
        f"{figures['p50_ms']:,.0f}",
        f"{figures['p99_ms']:,.0f}",
        str(figures["lost"]),
        str(figures["doubled"]),
        str(figures["failures"]),
    )
    console.print(summary)
    processes = Table("process", title="what each process used")
    processes.add_column("CPU µs a message", justify="right")
    processes.add_column("peak MB", justify="right")
    processes.add_column("grown MB", justify="right")
    for name, used in figures["processes"].items():
        processes.add_row(
            name, f"{used['cpu_us_per_message']:,.0f}", f"{used['peak_mb']:,.0f}", f"{used['grown_mb']:+,.1f}"
        )
    console.print(processes)
    machine = figures["machine"]
    console.print(
        f"Of the machine's time {machine['busy_percent']:.0f} % was used,"
        f" and {machine['stolen_percent']:.0f} % taken by other guests of its host."
    )
    for example in figures["failure_examples"]:
        console.print(f"failed: {example}")
