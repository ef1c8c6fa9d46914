"""The traces that a refused message leaves: a count by reason, a line of the log, and one of the access log."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from onecard.exchange.v1 import message_pb2
from onecard_broker.directory.model import Directory
from onecard_broker.gateway.access_log import log_refused_access
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import Message
from onecard_protocol.methods import MethodRegistry

log = logging.getLogger(__name__)
Entered = TypeVar("Entered")


class Refusals:
    """Leaves them."""

    def __init__(self, methods: MethodRegistry, directory: Callable[[], Directory], stats: Counter[str]) -> None:
        """`directory` gives the present directory."""
        self._methods = methods
        self._directory = directory
        self._stats = stats

    def note(self, error: OneCardError, message: Message | None, certificate_names: frozenset[str]) -> None:
        """Trace a refusal, in the access log too where the message asked to be told of a person."""
        self.trace(error, message, certificate_names)
        self._note_access(error, message, certificate_names)

    def trace(self, error: OneCardError, message: Message | None, certificate_names: frozenset[str]) -> None:
        """Count a refusal and leave a trace of it: who, what, why; never anything of the payload."""
        reason = reason_name(error.reason)
        self._stats[f"refused_{reason}"] += 1
        log.info(
            "refused %s: %s id %s over %s: %s",
            reason,
            "a message" if message is None else f"{message.header.sender} {message.header.method}",
            "unknown" if message is None else id_text(message.header.id),
            ", ".join(sorted(certificate_names)) or "the journal",
            error.detail or "; ".join(f"{field} {what}" for field, what in error.violations),
        )

    def _note_access(self, error: OneCardError, message: Message | None, certificate_names: frozenset[str]) -> None:
        if message is None or message.header.kind != message_pb2.MESSAGE_KIND_REQUEST:
            return
        method = self._methods.get(message.header.method)
        if method is not None and method.access_purpose_field is not None:
            sender = self._directory().participants.get(message.header.sender)
            is_sender = sender is not None and bool(certificate_names & sender.certificate_names)
            log_refused_access(message.header.sender if is_sender else "", method.name, reason_name(error.reason))


@contextlib.asynccontextmanager
async def entered(
    block: contextlib.AbstractAsyncContextManager[Entered], on_refusal: Callable[[OneCardError], None]
) -> AsyncIterator[Entered]:
    """The block; tells of a refusal to enter it, not of what is raised inside."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            inside = await stack.enter_async_context(block)
        except OneCardError as error:
            on_refusal(error)
            raise
        yield inside
