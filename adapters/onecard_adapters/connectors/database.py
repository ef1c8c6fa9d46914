"""A local system's database: statements off the event loop, in a bounded time.

Owns connections and threads; knows nothing of what is read or written.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import sqlalchemy
from sqlalchemy.dialects import sqlite

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.china_time import SHANGHAI
from onecard_protocol.errors import OneCardError

_Result = TypeVar("_Result")

# In SQLite a time is text and compared as text, so ours has the form that local systems write: whole seconds.
TIME: Final = sqlalchemy.DateTime().with_variant(
    sqlite.DATETIME(  # type: ignore[no-untyped-call]
        storage_format="%(year)04d-%(month)02d-%(day)02d %(hour)02d:%(minute)02d:%(second)02d",
    ),
    "sqlite",
)
"""A column type for local times without a zone, on every database."""

_THREADS: Final = 2
_ANSWER_MOST_S: Final = 60.0
_CLOSE_MOST_S: Final = 5.0
_LIBPQ: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""By which PostgreSQL's drivers notice a connection that was silently dropped; what the URL says comes before."""


def local_now() -> datetime.datetime:
    """The time as local systems' columns keep it: China's, without a zone, to the second."""
    return datetime.datetime.now(SHANGHAI).replace(tzinfo=None, microsecond=0)


class Database:
    """One database, reached by an SQLAlchemy URL. A connection that broke is replaced at the next statement."""

    def __init__(self, url: str) -> None:
        """Nothing is connected yet. Raises CONFIGURATION_INVALID for a URL that no driver here serves."""
        try:
            made = sqlalchemy.make_url(url)
            is_libpq = made.get_driver_name() in {"psycopg", "psycopg2"}
            # Parameters hold persons' numbers: they stand in no error and no log.
            self._engine = sqlalchemy.create_engine(
                made,
                hide_parameters=True,
                pool_pre_ping=True,
                pool_size=_THREADS,
                max_overflow=0,
                connect_args={name: most for name, most in _LIBPQ.items() if is_libpq and name not in made.query},
            )
        except (sqlalchemy.exc.ArgumentError, ImportError) as error:
            raise OneCardError(
                errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
                f"database.url is not usable: {type(error).__name__} / database.url 无法使用",
            ) from None
        self._free = asyncio.Semaphore(_THREADS)
        self._running: set[concurrent.futures.Future[Any]] = set()

    @property
    def address(self) -> str:
        """The URL without its password."""
        return self._engine.url.render_as_string(hide_password=True)

    async def run(self, operation: Callable[[sqlalchemy.Connection], _Result]) -> _Result:
        """Run an operation in one transaction, in a thread. Raises LOCAL_SYSTEM_DOWN if the database fails it.

        So it does where the database does not answer in a minute; the operation may then still be carried out.
        """
        async with self._free:
            done: concurrent.futures.Future[_Result] = concurrent.futures.Future()
            done.set_running_or_notify_cancel()
            self._running.add(done)
            done.add_done_callback(self._running.discard)
            # Of its own and a daemon: one that hangs keeps neither the next from running nor the process from ending.
            threading.Thread(target=self._work, args=(operation, done), name="database", daemon=True).start()
            try:
                async with asyncio.timeout(_ANSWER_MOST_S):
                    return await asyncio.wrap_future(done)
            except TimeoutError:
                self._engine.dispose(close=False)
                problem = f"the database did not answer in {_ANSWER_MOST_S:g} s"
            except sqlalchemy.exc.SQLAlchemyError as error:
                problem = f"the database failed a statement: {kind_of(error)}"
        raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, problem)

    async def close(self) -> None:
        """Let statements that run finish, for some seconds, and disconnect."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_MOST_S):
                await asyncio.gather(*map(asyncio.wrap_future, tuple(self._running)), return_exceptions=True)
        self._engine.dispose(close=not self._running)

    def _work(
        self, operation: Callable[[sqlalchemy.Connection], _Result], done: concurrent.futures.Future[_Result]
    ) -> None:
        try:
            with self._engine.begin() as connection:
                result = operation(connection)
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(result)


def kind_of(error: sqlalchemy.exc.SQLAlchemyError) -> str:
    """What failed, without the statement and its values."""
    cause = getattr(error, "orig", None)
    return type(error).__name__ if cause is None else f"{type(error).__name__} ({type(cause).__name__})"
