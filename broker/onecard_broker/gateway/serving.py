"""What every handler shares: who calls, rich refusals, and a log line for whatever a handler did not expect.

grpc.aio prints nothing when a handler fails, so failures are logged here, without the exception's own text: it may
hold what stood in a payload.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, NoReturn, TypeVar

import grpc
import psycopg
from grpc.aio import ServicerContext

from onecard.exchange.v1 import errors_pb2
from onecard_broker.directory.model import Directory
from onecard_broker.gateway.bounded_writes import BoundedWrites
from onecard_broker.gateway.trailing import Metadata, ending
from onecard_broker.log.port import LogUnavailable
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, reason_name

log = logging.getLogger(__name__)
call_log = logging.getLogger("onecard.calls")

RawHandler = Callable[[bytes, ServicerContext[bytes, bytes]], Awaitable[bytes]]
Response = TypeVar("Response")
REFUSAL_SECONDS: Final = 1.0
_SAN_KEY: Final = "x509_subject_alternative_name"
_NAMES: Final[ContextVar[tuple[object, frozenset[str]] | None]] = ContextVar("certificate names", default=None)
"""Of the call that this task serves: gRPC copies a certificate's properties anew for whoever asks."""


class CallRefused(Exception):
    """A refusal with trailing metadata of its own."""

    def __init__(self, error: OneCardError, beside: Metadata, answer: Metadata = ()) -> None:
        """The error whose status ends the call, what goes beside it, and the signed answer if there is room for it."""
        super().__init__(error)
        self.error = error
        self.beside = beside
        self.answer = answer


def certificate_names(context: ServicerContext[Any, Any]) -> frozenset[str]:
    """The DNS names of the client's certificate, verified by TLS; none if it has none."""
    known = _NAMES.get()
    if known is not None and known[0] is context:
        return known[1]
    names = frozenset(name.decode("ascii", "replace").lower() for name in context.auth_context().get(_SAN_KEY, ()))
    _NAMES.set((context, names))
    return names


def _caller(context: ServicerContext[Any, Any]) -> str:
    return ", ".join(sorted(certificate_names(context)))


def check_participant(participant: str, names: frozenset[str], directory: Directory) -> None:
    """Raise CERTIFICATE_MISMATCH unless the certificate belongs to the participant that the call names."""
    entry = directory.participants.get(participant)
    if entry is None or not entry.certificate_names & names:
        raise _mismatch(names, participant)


def check_known(names: frozenset[str], directory: Directory) -> str:
    """The participant whose certificate it is; raises CERTIFICATE_MISMATCH if it is nobody's."""
    participant = directory.participant_of_certificate(names)
    if participant is None:
        raise _mismatch(names, "any participant")
    return participant


def _mismatch(names: frozenset[str], of: str) -> OneCardError:
    return OneCardError(
        errors_pb2.ERROR_REASON_CERTIFICATE_MISMATCH,
        f"the directory names none of {', '.join(sorted(names)) or 'no name'} as a certificate of {of}",
    )


class StandingRight:
    """The right by which a stream was opened, judged anew after each change of the directory."""

    def __init__(self, participant: str, names: frozenset[str], directory: Callable[[], Directory]) -> None:
        """`names` are of the stream's certificate. Raises CERTIFICATE_MISMATCH as `check`."""
        self._participant = participant
        self._names = names
        self._directory = directory
        self._judged: Directory | None = None
        self.check()

    def check(self) -> None:
        """Raise CERTIFICATE_MISMATCH once the certificate is not the participant's any more."""
        directory = self._directory()
        if directory is not self._judged:
            check_participant(self._participant, self._names, directory)
            self._judged = directory


async def refuse_early(context: ServicerContext[Any, Any], error: OneCardError) -> NoReturn:
    """End a call that reaches no method's handler, with a line in the log."""
    call_log.info("a call %s over %s: %s", reason_name(error.reason), _caller(context), error.detail)
    await refuse_call(context, error)


def raw_handlers(handlers: Mapping[str, RawHandler]) -> list[grpc.GenericRpcHandler]:
    """Unary handlers by full method name, a generic handler for each service. Bodies pass as the bytes they are."""
    by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for full_name, handler in handlers.items():
        service, name = full_name[1:].split("/")
        by_service.setdefault(service, {})[name] = grpc.unary_unary_rpc_method_handler(handler)
    return [grpc.method_handlers_generic_handler(service, methods) for service, methods in by_service.items()]


async def refuse_call(
    context: ServicerContext[Any, Any], error: OneCardError, beside: Metadata = (), answer: Metadata = ()
) -> NoReturn:
    """End the call with the rich status of an error, what goes beside it, and the signed answer if it fits."""
    status, trailing = ending(error, beside, answer)
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    await context.abort(code, status.message, trailing_metadata=trailing)
    raise AssertionError("abort returned")


def refusal_of(method: str, error: Exception) -> OneCardError:
    """The refusal that tells of an error; what no handler expected is logged."""
    if isinstance(error, OneCardError):
        return error
    if isinstance(error, LogUnavailable | psycopg.Error):
        log.warning("%s: log or database does not answer: %s", method, type(error).__name__)
        return OneCardError(
            errors_pb2.ERROR_REASON_HUB_NOT_READY, "log or database does not answer", retry_after_ms=limits.TICK_MS
        )
    places = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s failed with %s at\n%s", method, type(error).__name__, places)
    return OneCardError(errors_pb2.ERROR_REASON_INTERNAL, "the gateway's log tells more")


async def serve(
    context: ServicerContext[Any, Any], method: str, handling: Callable[[], Awaitable[Response]]
) -> Response:
    """Run a unary handler: refusals become rich statuses, the rest is logged; one line for each call.

    The line of a call that ended well is for debugging: thousands a second would cost more than they tell.
    """
    begun = time.monotonic()
    outcome = "OK"
    try:
        return await handling()
    except CallRefused as refused:
        outcome = reason_name(refused.error.reason)
        await refuse_call(context, refused.error, refused.beside, refused.answer)
    except asyncio.CancelledError:
        outcome = "CANCELLED"
        raise
    except Exception as error:
        refusal = refusal_of(method, error)
        outcome = reason_name(refusal.reason)
        await refuse_call(context, refusal)
    finally:
        if outcome == "OK":
            call_log.debug("%s OK %d ms", method, (time.monotonic() - begun) * 1000)
        else:
            call_log.info("%s %s %d ms over %s", method, outcome, (time.monotonic() - begun) * 1000, _caller(context))


async def serve_stream(
    context: ServicerContext[Any, Any], method: str, writes: BoundedWrites, responses: AsyncGenerator[Any]
) -> None:
    """Run a streaming handler in the same way; a receiver that does not read gets RECEIVER_TOO_SLOW.

    It learns of it behind what it has not read yet, so that telling it is not waited for.
    """
    begun = time.monotonic()
    outcome = "OK"
    try:
        async with contextlib.aclosing(responses):
            async for response in responses:
                await writes.write(response)
    except asyncio.CancelledError:
        outcome = "CANCELLED"
        raise
    except Exception as error:
        refusal = refusal_of(method, error)
        outcome = reason_name(refusal.reason)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(refuse_call(context, refusal), REFUSAL_SECONDS)
    finally:
        elapsed_ms = (time.monotonic() - begun) * 1000
        call_log.info("%s %s after %d ms over %s", method, outcome, elapsed_ms, _caller(context))
