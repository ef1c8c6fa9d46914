"""A real Kafka on this machine without containers: one broker or three, in KRaft mode, on free loopback ports.

Owns the brokers' processes, files and logs in one directory. Brokers outlive a kill -9 of their owner; the next owner
takes them over by what the directory says.
"""

import asyncio
import json
import signal
import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

from onecard_protocol.whole_files import write_whole
from onecard_stubs.dev.free_ports import free_ports
from onecard_stubs.dev.kafka_jars import ensure_jars, find_program

_LOGGING = Path(__file__).with_name("log4j2.properties")
_STARTED = b"Kafka Server started"
_START_SECONDS = 90
_STOP_SECONDS = 20
# The second compiler works for minutes before it pays: without it a broker of a drill, a test or a benchmark takes
# a third to a half less CPU.
_JAVA_OPTIONS = (
    *("-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
    "-Djava.awt.headless=true",
)


class KafkaFailed(Exception):
    """A broker did not start or died; the text names its log file and quotes its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broker:
    number: int
    port: int
    controller_port: int
    directory: Path

    @property
    def properties(self) -> Path:
        return self.directory / "server.properties"

    @property
    def log_file(self) -> Path:
        return self.directory / "broker.log"

    @property
    def pid_file(self) -> Path:
        return self.directory / "broker.pid"


class KafkaCluster:
    """Brokers 1 to `broker_count`, each also a controller; with three, topics are replicated by three, two in sync.

    `async with KafkaCluster(directory) as kafka: kafka.bootstrap_servers`
    """

    def __init__(self, directory: Path, *, broker_count: int = 1) -> None:
        """`directory` keeps the cluster's files; 1 or 3 brokers."""
        if broker_count not in (1, 3):
            raise ValueError("a development cluster has 1 or 3 brokers")
        self._directory = directory.expanduser().resolve()
        self._broker_count = broker_count
        self._brokers: list[_Broker] = []
        self._cluster_id = ""
        self._jars: Path | None = None
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of all brokers, for clients."""
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self._brokers)

    @property
    def process_ids(self) -> dict[int, int]:
        """Process ids of the brokers that run, by broker number."""
        running = {broker.number: self._process(broker) for broker in self._brokers}
        return {number: process.pid for number, process in running.items() if process is not None}

    async def start(self) -> None:
        """Start the brokers, or take over those that a killed owner left, and wait until all serve.

        Raises KafkaMissing without Java or the jars, KafkaFailed when a broker does not come up.
        """
        self._jars = await ensure_jars()
        self._load()
        absent = [broker for broker in self._brokers if self._process(broker) is None]
        await asyncio.gather(*(self._prepare(broker) for broker in absent))
        for broker in absent:
            self._launch(broker)
        await asyncio.gather(*(self._wait_until_serving(broker) for broker in self._brokers))

    async def stop(self) -> None:
        """Stop all brokers in order; their data stay."""
        processes = [process for broker in self._brokers if (process := self._process(broker)) is not None]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        _, alive = await asyncio.to_thread(psutil.wait_procs, processes, _STOP_SECONDS)
        for process in alive:
            process.kill()
        await asyncio.to_thread(psutil.wait_procs, alive, _STOP_SECONDS)
        for number in list(self._children):
            await self._reap(number)

    async def kill(self, number: int) -> None:
        """Kill one broker at once (kill -9) and wait until its process is gone."""
        process = self._process(self._broker(number))
        if process is not None:
            process.kill()
            await asyncio.to_thread(psutil.wait_procs, [process], _STOP_SECONDS)
        await self._reap(number)

    async def restart(self, number: int) -> None:
        """Start a broker that was killed, on its former port and data, and wait until it serves."""
        broker = self._broker(number)
        if self._process(broker) is None:
            await self._prepare(broker)
            self._launch(broker)
        await self._wait_until_serving(broker)

    def failure(self, number: int) -> KafkaFailed:
        """What to tell a person of a broker that ended."""
        log_file = self._broker(number).log_file
        return KafkaFailed(f"broker {number} ended: {log_file}\n{_tail(log_file)}")

    async def __aenter__(self) -> "KafkaCluster":
        """Start the cluster."""
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the cluster."""
        await self.stop()

    def _broker(self, number: int) -> _Broker:
        for broker in self._brokers:
            if broker.number == number:
                return broker
        raise ValueError(f"no broker {number} in this cluster")

    async def _reap(self, number: int) -> None:
        child = self._children.pop(number, None)
        if child is not None:
            child.kill()
            await asyncio.to_thread(child.wait)

    def _load(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        state_file = self._directory / "cluster.json"
        if state_file.exists():
            state = json.loads(state_file.read_text(encoding="utf-8"))
            if len(state["ports"]) != self._broker_count:
                raise KafkaFailed(f"{self._directory} holds a cluster of {len(state['ports'])} brokers")
        else:
            ports = free_ports(2 * self._broker_count)
            state = {
                "cluster_id": urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
                "ports": list(zip(ports[::2], ports[1::2], strict=True)),
            }
            write_whole(state_file, json.dumps(state))
        self._cluster_id = state["cluster_id"]
        self._brokers = [
            _Broker(
                number=number, port=port, controller_port=controller, directory=self._directory / f"broker-{number}"
            )
            for number, (port, controller) in enumerate(state["ports"], start=1)
        ]

    def _process(self, broker: _Broker) -> psutil.Process | None:
        child = self._children.get(broker.number)
        if child is not None:
            return psutil.Process(child.pid) if child.poll() is None else None
        try:
            process = psutil.Process(int(broker.pid_file.read_text(encoding="utf-8")))
            # A pid may have gone to another program since.
            if str(broker.properties) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.ZombieProcess):
            pass
        return None

    def _command(self, main: str, *arguments: str) -> list[str]:
        return [
            find_program("java"),
            *_JAVA_OPTIONS,
            f"-Dlog4j2.configurationFile={_LOGGING}",
            "-cp",
            f"{self._jars}/*",
            main,
            *arguments,
        ]

    async def _prepare(self, broker: _Broker) -> None:
        broker.directory.mkdir(parents=True, exist_ok=True)
        if not broker.properties.exists():
            broker.properties.write_text(self._properties(broker), encoding="utf-8")
        if not (broker.directory / "data" / "meta.properties").exists():
            await self._format(broker)

    def _launch(self, broker: _Broker) -> None:
        if broker.log_file.exists():
            broker.log_file.replace(broker.log_file.with_suffix(".previous.log"))
        with broker.log_file.open("wb") as log:
            # No process of asyncio, which would end the brokers with its loop.
            # A session of its own: an interrupt at the terminal goes to the owner, which stops the brokers in order.
            process = subprocess.Popen(
                self._command("kafka.Kafka", str(broker.properties)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._children[broker.number] = process
        write_whole(broker.pid_file, str(process.pid))

    async def _format(self, broker: _Broker) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command(
                "kafka.tools.StorageTool",
                *("format", f"--cluster-id={self._cluster_id}", "-c", str(broker.properties)),
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise KafkaFailed(f"Kafka could not format its storage:\n{output.decode(errors='replace')[-2000:]}")

    def _properties(self, broker: _Broker) -> str:
        voters = ",".join(f"{other.number}@127.0.0.1:{other.controller_port}" for other in self._brokers)
        replicas = min(3, self._broker_count)
        in_sync = 2 if self._broker_count == 3 else 1
        settings = {
            "process.roles": "broker,controller",
            "node.id": broker.number,
            "controller.quorum.voters": voters,
            "listeners": f"BROKER://127.0.0.1:{broker.port},CONTROLLER://127.0.0.1:{broker.controller_port}",
            "advertised.listeners": f"BROKER://127.0.0.1:{broker.port}",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "BROKER",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": broker.directory / "data",
            "auto.create.topics.enable": "false",
            "unclean.leader.election.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "message.max.bytes": 4 * 1024 * 1024,
            "replica.fetch.max.bytes": 4 * 1024 * 1024,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "num.replica.fetchers": 2,
            # A broker that was killed comes back when its session has run out (9 s by default). One that stands alone
            # on a busy machine must not lose it for a late heartbeat: there is no other to lead instead.
            "broker.session.timeout.ms": 4000 if self._broker_count == 3 else 9000,
            "broker.heartbeat.interval.ms": 1000,
            # Two records a second that only standby controllers look at: a third of what an idle broker costs.
            "metadata.max.idle.interval.ms": 0,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    async def _wait_until_serving(self, broker: _Broker) -> None:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while True:
            if self._process(broker) is None:
                raise self.failure(broker.number)
            # Said once the cluster has let the broker in, not when its port opens.
            if _STARTED in broker.log_file.read_bytes():
                return
            if asyncio.get_running_loop().time() > deadline:
                raise KafkaFailed(f"broker {broker.number} does not serve: {broker.log_file}\n{_tail(broker.log_file)}")
            await asyncio.sleep(0.2)


def _tail(log_file: Path) -> str:
    text = log_file.read_text(encoding="utf-8", errors="replace") if log_file.exists() else ""
    return text[-2000:].strip()
