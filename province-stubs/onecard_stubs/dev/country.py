"""A country on one machine: engines, hub, adapters and local systems as ordinary processes, started and ended together.

    async with Country(plan, directory) as country:
        await country.kill("gateway-1")
        await country.restart("gateway-1")

Processes are known by name: `postgres`, `kafka-1` …, `gateway-1` …, `worker-1` …, `adapter-cn-44` …, `stub-guangdong`.
Everything listens on free ports of 127.0.0.1. What each process says goes to NAME.log in the directory. Whatever ends
the owner, kill -9 included, ends all of them.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from onecard_protocol.explained import Text
from onecard_protocol.identifiers import HUB
from onecard_stubs.dev.adapter_configuration import write_adapter_configuration
from onecard_stubs.dev.free_ports import free_ports, is_listening
from onecard_stubs.dev.gateway_health import GatewayHealth
from onecard_stubs.dev.hub_configuration import Keys, ParticipantFiles, write_directory, write_hub_configuration
from onecard_stubs.dev.kafka import KafkaCluster
from onecard_stubs.dev.plan import CountryPlan
from onecard_stubs.dev.postgres import EmbeddedPostgres, locale_that_exists
from onecard_stubs.dev.processes import ChildProcess, Guard, process_failure, run_in_turn
from onecard_stubs.dev.provinces import PROVINCES, Province, without_local_system
from onecard_stubs.dev.running import RunningCountry

_READY_SECONDS = 120
_STEP_SECONDS = 120

Made = TypeVar("Made")


class Country:
    """The processes of a plan. Start once; then kill, restart, pause and resume any of them by name."""

    def __init__(
        self,
        plan: CountryPlan,
        directory: Path,
        *,
        report: Callable[[str], None] = lambda _: None,
        is_temporary: bool = False,
    ) -> None:
        """`directory` takes everything that the country writes; a temporary one is removed if its owner is killed.

        `report` is told each step in English.
        """
        plan.check()
        self.plan = plan
        self.directory = directory.resolve()
        self._report = report
        self._is_temporary = is_temporary
        self._guard = Guard()
        self._provinces = [
            PROVINCES[name] if plan.runs_provinces else without_local_system(name) for name in plan.provinces
        ]
        ports = iter(free_ports(plan.gateway_count + 2 * len(self._provinces)))
        self.gateway_addresses = {
            f"gateway-{index + 1}": f"127.0.0.1:{next(ports)}" for index in range(plan.gateway_count)
        }
        self.adapter_ports = {province.id: next(ports) for province in self._provinces}
        """Where each adapter serves its own province's local systems."""
        self.stub_ports = {province.id: next(ports) for province in self._provinces}
        """Where each local system serves its adapter, and its controls."""
        self.hub_config = self.directory / "hub.yaml"
        self.directory_file = self.directory / "directory.yaml"
        self.adapter_urls: dict[str, str] = {}
        """By participant, where its adapter serves the local systems of its province; known once configured."""
        self.adapter_stores = {province.id: self.directory / f"{province.id}.store" for province in self._provinces}
        self._postgres = EmbeddedPostgres(self.directory / "postgres")
        self._kafka = (
            KafkaCluster(self.directory / "kafka", broker_count=plan.broker_count) if plan.log == "kafka" else None
        )
        self._postgres_start: asyncio.Task[None] | None = None
        self._processes: dict[str, ChildProcess] = {}
        self._ready: dict[str, Callable[[], Awaitable[bool]]] = {}

    # ---- names -----------------------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """Names of all processes, whether they run or not."""
        brokers = [] if self._kafka is None else [f"kafka-{index + 1}" for index in range(self.plan.broker_count)]
        return ["postgres", *brokers, *self._processes]

    @property
    def process_ids(self) -> dict[str, int]:
        """Pids of the processes that run, by name."""
        found = {name: process.process_id for name, process in self._processes.items()}
        if self._kafka is not None:
            found |= {f"kafka-{number}": pid for number, pid in self._kafka.process_ids.items()}
        found["postgres"] = self._postgres.running_id
        return {name: pid for name, pid in found.items() if pid is not None}

    @property
    def database(self) -> str:
        """Connection string of the hub's PostgreSQL."""
        return self._postgres.dsn()

    @property
    def kafka_servers(self) -> str | None:
        """Bootstrap servers of Kafka; None on the embedded log."""
        return None if self._kafka is None else self._kafka.bootstrap_servers

    def running(self) -> RunningCountry:
        """Where its parts are, for others; of use once it is started."""
        stub_urls = {name: f"http://127.0.0.1:{port}" for name, port in self.stub_ports.items()}
        places = {"postgres": self.database, **self.gateway_addresses}
        for province in self._provinces if self.plan.runs_provinces else ():
            database = self._database_of(province)
            reads = "" if database is None else database["url"]
            places[province.adapter_process] = self.adapter_urls[province.id] or reads
            places[province.stub_process] = stub_urls[province.id]
        if self.kafka_servers is not None:
            places |= {f"kafka-{number}": at for number, at in enumerate(self.kafka_servers.split(","), start=1)}
        return RunningCountry(
            directory=self.directory,
            log=self.plan.log,
            hub_config=self.hub_config,
            places=places,
            adapter_urls=dict(self.adapter_urls),
            stub_urls=stub_urls,
            adapter_stores=dict(self.adapter_stores),
        )

    # ---- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything and wait until it serves. Raises Explained, KafkaMissing or KafkaFailed."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._guard.start()
        if self._is_temporary:
            self._guard.remove(self.directory)
        self._report("making keys, starting the database")
        keys = await self._make_keys()
        hub = await _first_of_all(self._set_up_provinces(keys), self._start_postgres(), self._start_kafka())
        self._report("preparing the hub's schema and topics")
        self._set_up_hub(keys, hub)
        await self._prepare_hub()
        self._report("starting hub and adapters")
        for name in self._named("worker-", "gateway-", "adapter-"):
            await self._processes[name].start()
        self._report("waiting until all of them serve")
        await asyncio.gather(*(self._wait_until_ready(name) for name in self._processes))

    async def stop(self) -> None:
        """End everything in order: those who send before those who receive."""
        groups = ("adapter-", "stub-", "gateway-", "worker-")
        for group in groups:
            await asyncio.gather(
                *(process.terminate() for name, process in self._processes.items() if name.startswith(group))
            )
        await asyncio.gather(*(process.terminate() for process in self._processes.values()))
        if self._kafka is not None:
            await self._kafka.stop()
        if self._postgres_start is not None:
            await asyncio.gather(self._postgres_start, return_exceptions=True)
        await self._postgres.stop()
        self._guard.forget_all()
        await asyncio.to_thread(self._guard.stop)

    async def __aenter__(self) -> "Country":
        """Start the country."""
        try:
            await self.start()
        except BaseException:
            await asyncio.shield(self.stop())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the country."""
        await self.stop()

    def failure(self, name: str) -> Exception:
        """What to tell of a process that has ended by itself: Explained or KafkaFailed."""
        if name == "postgres":
            return process_failure(name, Text(en="ended", zh="已退出"), self._postgres.log_file)
        if self._kafka is not None and name.startswith("kafka-"):
            return self._kafka.failure(int(name.removeprefix("kafka-")))
        return self._process(name).failure()

    # ---- faults ----------------------------------------------------------------------------------------------------

    async def kill(self, name: str) -> None:
        """kill -9 the process and wait until it is gone (PostgreSQL: an immediate shutdown, its crash)."""
        if name == "postgres":
            process_id = await self._postgres.crash()
            if process_id is not None:
                self._guard.forget(process_id)
        elif self._kafka is not None and name.startswith("kafka-"):
            await self._kafka.kill(int(name.removeprefix("kafka-")))
        else:
            await self._process(name).kill()

    async def terminate(self, name: str) -> None:
        """End a process in order (SIGTERM) and wait until it is gone."""
        await self._process(name).terminate()

    async def restart(self, name: str) -> None:
        """Start a process again that was killed or ended, and wait until it serves."""
        if name == "postgres":
            await self._start_postgres()
        elif self._kafka is not None and name.startswith("kafka-"):
            await self._kafka.restart(int(name.removeprefix("kafka-")))
            self._watch_kafka()
        else:
            await self._process(name).terminate()
            await self._process(name).start()
            await self._wait_until_ready(name)

    def pause(self, name: str) -> None:
        """Stop a process without ending it (SIGSTOP), as a machine that hangs."""
        self._process(name).pause()

    def resume(self, name: str) -> None:
        """Let a paused process go on."""
        self._process(name).resume()

    async def run_beside(self, name: str, arguments: list[str]) -> ChildProcess:
        """Start one more `onecard …` of a benchmark; it ends with the country."""
        self._define_process(name, arguments)
        await self._processes[name].start()
        return self._processes[name]

    def adapter_config(self, province: str) -> Path:
        """The configuration of a province's adapter; known once configured."""
        return self.directory / f"{province}.yaml"

    # ---- steps -----------------------------------------------------------------------------------------------------

    async def _make_keys(self) -> Keys:
        return await asyncio.to_thread(Keys, self.directory / "keys")

    async def _start_postgres(self) -> None:
        # A start runs in a thread, which no cancellation ends: `stop` waits for it, then ends what it started.
        self._postgres_start = asyncio.create_task(self._postgres.start())
        with locale_that_exists():
            await asyncio.shield(self._postgres_start)
        self._guard.watch(self._postgres.process_id, signal.SIGINT)

    async def _start_kafka(self) -> None:
        if self._kafka is not None:
            await self._kafka.start()
            self._watch_kafka()

    def _watch_kafka(self) -> None:
        assert self._kafka is not None
        for process_id in self._kafka.process_ids.values():
            self._guard.watch(process_id)

    async def _set_up_provinces(self, keys: Keys) -> ParticipantFiles:
        """Make everybody's keys, configure the adapters and start the local systems, none of which needs the engines.

        Returns what the hub signs and connects with.
        """
        hub, *files = await asyncio.gather(
            *(asyncio.to_thread(keys.make, participant) for participant in (HUB, *self.plan.provinces))
        )
        provinces = list(zip(self._provinces, files, strict=True))
        write_directory(self.directory_file, provinces, hub, self.plan.followers)
        for province, province_files in provinces:
            self.adapter_urls[province.id] = write_adapter_configuration(
                self.adapter_config(province.id),
                province,
                files=province_files,
                keys=keys,
                hub_key=hub.key,
                gateways=list(self.gateway_addresses.values()),
                store=self.adapter_stores[province.id],
                listen_port=self.adapter_ports[province.id],
                local_system_port=self.stub_ports[province.id],
                database=self._database_of(province),
            )
            if self.plan.runs_provinces:
                self._define_province(province)
        for name in self._named("stub-"):
            await self._processes[name].start()
        return hub

    def _define_province(self, province: Province) -> None:
        stub_port, adapter_url = self.stub_ports[province.id], self.adapter_urls[province.id]
        self._define_process(
            province.stub_process,
            [
                *("stub", "run", province.stub, "--port", str(stub_port), "--adapter-url", adapter_url),
                *(("--database", database["url"]) if (database := self._database_of(province)) is not None else ()),
                *(("--columns-key", database["key_file"]) if database is not None else ()),
            ],
            port=stub_port,
        )
        adapter = province.adapter_process
        self._define_process(
            adapter,
            ["adapter", "run", "--config", str(self.adapter_config(province.id))],
            port=self.adapter_ports[province.id] if adapter_url else None,
        )
        if not adapter_url:  # It only reads a database: nothing listens, but it says so when it serves.

            async def says_that_it_serves() -> bool:
                return " serves " in self._processes[adapter].log_file.read_text(encoding="utf-8", errors="replace")

            self._ready[adapter] = says_that_it_serves

    def _database_of(self, province: Province) -> dict[str, str] | None:
        """Where a local system keeps the tables that its adapter reads; None where it keeps none."""
        if not province.has_database:
            return None
        file = self.directory / province.stub
        return {"url": f"sqlite:///{file}.sqlite", "key_file": f"{file}.columns-key"}

    def _set_up_hub(self, keys: Keys, hub: ParticipantFiles) -> None:
        write_hub_configuration(
            self.hub_config,
            database=self.database,
            kafka_servers=self.kafka_servers,
            broker_count=self.plan.broker_count,
            listen=next(iter(self.gateway_addresses.values())),
            keys=keys,
            hub=hub,
        )
        config = str(self.hub_config)
        for index in range(self.plan.worker_count):
            self._define_process(f"worker-{index + 1}", ["hub", "worker", "--config", config])
        for name, address in self.gateway_addresses.items():
            self._define_process(name, ["hub", "gateway", "--config", config, "--listen", address])
            # It listens before it admits anything: the first tick of a worker tells it that its directory is fresh.
            self._ready[name] = GatewayHealth(address, hub.certificate, keys.authority.file).is_serving

    def _define_process(self, name: str, arguments: list[str], *, port: int | None = None) -> None:
        self._processes[name] = ChildProcess(
            name, arguments, log_file=self.directory / f"{name}.log", guard=self._guard
        )
        if port is not None:
            listening_port = port

            async def listens() -> bool:
                return is_listening(listening_port)

            self._ready[name] = listens

    async def _prepare_hub(self) -> None:
        config = ["--config", str(self.hub_config)]
        commands = [
            ["hub", "migrate", *config],
            # Before the hub runs: nobody is then refused for want of a directory.
            ["directory", "import", str(self.directory_file), *config, "--yes"],
            ["hub", "topics", *config],
        ]
        async with asyncio.timeout(_STEP_SECONDS):
            await run_in_turn(commands, log_file=self.directory / "preparation.log", guard=self._guard)

    async def _wait_until_ready(self, name: str) -> None:
        if name in self._ready:
            await self._processes[name].wait_until(self._ready[name], _READY_SECONDS)

    def _process(self, name: str) -> ChildProcess:
        process = self._processes.get(name)
        if process is None:
            raise ValueError(f"no process {name!r} in this country; there are {', '.join(self.names)}")
        return process

    def _named(self, *prefixes: str) -> list[str]:
        return [name for prefix in prefixes for name in self._processes if name.startswith(prefix)]


async def _first_of_all(first: Coroutine[Any, Any, Made], *others: Coroutine[Any, Any, None]) -> Made:
    """Run all at once; returns what the first one made. Where one fails, no other goes on behind the error."""
    making = asyncio.create_task(first)
    tasks = [making, *(asyncio.create_task(other) for other in others)]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return making.result()
