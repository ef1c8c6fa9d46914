"""How many code systems of cards' local statuses one participant brings into the registry by its reports.

The registry numbers each (system, version) for good, with two bytes, for all provinces together. A province has a few,
and a new version of one now and then; one that invents names would use the numbers up for everybody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import psycopg
from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import change_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError

LOOK_SECONDS: Final = 10
"""Between two looks at the registry, at least: whoever invents names costs no statement for each."""
PATIENCE_SECONDS: Final = 1
"""With a database that hangs: a report needs the log alone."""

_log = logging.getLogger(__name__)


class CodeSystemReader(Protocol):
    """The registry's code systems. Raises psycopg.Error where the database does not answer."""

    async def code_systems(self) -> dict[tuple[str, str], str]:
        """By (system, version), who brought it in; nobody ("") for those of snapshots."""
        ...


class CodeSystems:
    """The registry's code systems as last read, and those of reports that were admitted here since."""

    def __init__(self, registry: CodeSystemReader, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._monotonic = monotonic
        self._looked_s = float("-inf")
        self._looking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._looking.set_result(None)
        self._known: Mapping[tuple[str, str], str] = {}
        self._new: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    async def check(self, sender: str, payload: ProtoMessage) -> None:
        """Raise PAYLOAD_INVALID for a report of a card that brings in one more than a participant may.

        Where the database does not answer in time, what was read last counts.
        """
        if not isinstance(payload, change_pb2.ReportSocialChangeRequest | change_pb2.ReportFinancialChangeRequest):
            return
        system = (payload.local_status.system, payload.local_status.version)
        if self._is_known(sender, system):
            return
        await self._look()
        if self._is_known(sender, system):
            return
        most = limits.CARD_CODE_SYSTEMS_PER_PARTICIPANT_COUNT_MAX
        if sum(owner == sender for owner in self._known.values()) + len(self._new[sender]) >= most:
            raise OneCardError(
                errors_pb2.ERROR_REASON_PAYLOAD_INVALID,
                violations=[("local_status.system", f"with its version is new; a participant may bring in {most}")],
            )
        self._new[sender].add(system)

    def _is_known(self, sender: str, system: tuple[str, str]) -> bool:
        return system in self._known or system in self._new[sender]

    async def _look(self) -> None:
        """Wait for what the registry holds, of all that ask within a second together at most that second."""
        now_s = self._monotonic()
        if self._looking.done() and now_s >= self._looked_s + LOOK_SECONDS:
            self._looked_s = now_s
            self._looking = asyncio.create_task(self._read(), name="code systems")
        left_s = self._looked_s + PATIENCE_SECONDS - now_s
        if left_s > 0 and not self._looking.done():
            await asyncio.wait({self._looking}, timeout=left_s)

    async def _read(self) -> None:
        try:
            self._known = await self._registry.code_systems()
        except psycopg.Error as error:
            _log.warning("the registry's code systems were not read: %s", error)
        for named in self._new.values():
            named -= self._known.keys()
