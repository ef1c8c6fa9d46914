"""Whether this gateway may admit messages now: directory fresh, clock right, journal writable, not draining."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from onecard.exchange.v1 import errors_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError

log = logging.getLogger(__name__)

RETRY_AFTER_MS: Final = 1_000
_JOURNAL_PAUSE_SECONDS: Final = 1.0
_READINGS: Final = 5


class ClockWatch:
    """Compares this machine's clock with the log's (rule 9); more than 500 ms off, the gateway stops admitting."""

    def __init__(self) -> None:
        self._lags_ms: deque[int] = deque(maxlen=_READINGS)
        self._is_off = False

    @property
    def is_off(self) -> bool:
        """Whether the clock is known to be off."""
        return self._is_off

    def note_append(self, *, sent_ms: int, append_time_ms: int, acknowledged_ms: int) -> None:
        """The append time must lie between sending and acknowledgement, give or take the allowed skew."""
        skew_ms = limits.GATEWAY_CLOCK_SKEW_MS_MAX
        self._set(is_off=not sent_ms - skew_ms <= append_time_ms <= acknowledged_ms + skew_ms, is_proof=False)

    def note_tick(self, *, append_time_ms: int, read_ms: int) -> None:
        """A record of the control topic, read at its end: read after it was appended, mostly within some ms.

        A slow reading looks like a clock ahead, so the quickest of the last readings counts there.
        """
        lag_ms = read_ms - append_time_ms
        self._lags_ms.append(lag_ms)
        skew_ms = limits.GATEWAY_CLOCK_SKEW_MS_MAX
        is_ahead = len(self._lags_ms) == _READINGS and min(self._lags_ms) > skew_ms
        self._set(is_off=lag_ms < -skew_ms or is_ahead, is_proof=abs(lag_ms) <= skew_ms)

    def _set(self, *, is_off: bool, is_proof: bool) -> None:
        """Off at any sign of it, right again only by a reading that proves it."""
        if is_off and not self._is_off:
            log.error("this machine's clock is more than %d ms off the log's", limits.GATEWAY_CLOCK_SKEW_MS_MAX)
        elif self._is_off and is_proof and not is_off:
            log.info("this machine's clock is right again")
        self._is_off = is_off or (self._is_off and not is_proof)


class FreshDirectory(Protocol):
    """What tells whether the directory is followed."""

    @property
    def is_fresh(self) -> bool:
        """Whether a control record or tick came of late."""


class Readiness:
    """The one place that says why a gateway admits nothing."""

    def __init__(
        self, directory: FreshDirectory, clock: ClockWatch, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._monotonic = monotonic
        self._journal_paused_until_s = 0.0
        self.is_draining = False

    def obstacle(self) -> str | None:
        """Why nothing is admitted now, not counting draining; None if nothing is in the way."""
        obstacle = self._obstacle_to_reading()
        if obstacle is None and self._monotonic() < self._journal_paused_until_s:
            return "the journal cannot be written"
        return obstacle

    def _obstacle_to_reading(self) -> str | None:
        if not self._directory.is_fresh:
            return "the directory was not confirmed of late"
        if self._clock.is_off:
            return "the gateway's clock is off"
        return None

    def check(self, *, is_answer: bool = False) -> None:
        """Raise HUB_NOT_READY; answers are taken while draining, because held calls wait for them."""
        self._refuse(self.obstacle(), is_answer=is_answer)

    def check_reading(self) -> None:
        """Raise HUB_NOT_READY where nobody can be trusted to read; the journal is not needed for it."""
        self._refuse(self._obstacle_to_reading(), is_answer=False)

    def _refuse(self, obstacle: str | None, *, is_answer: bool) -> None:
        if obstacle is None and self.is_draining and not is_answer:
            obstacle = "the gateway is shutting down; use another one"
        if obstacle is not None:
            raise OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY, obstacle, retry_after_ms=RETRY_AFTER_MS)

    def note_failed_append(self) -> None:
        """Pause admission, so that callers are told before the journal, not after waiting for it."""
        self._journal_paused_until_s = self._monotonic() + _JOURNAL_PAUSE_SECONDS
