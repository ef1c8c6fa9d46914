"""What a worker lately read or wrote of the rows of its partitions, which it need not read again.

Only the owner of a partition writes its rows, behind the fence of its position (rule 7): what the owner read or wrote
last is what stands there, until it gives the partition up. That a message is new is assumed here and proved by the
database, which takes no second row of its key. Owns no SQL and no rule.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from onecard_broker.domain.model import KnownMessage, MessageKey
from onecard_broker.records.state_tables import StateKey
from onecard_protocol.identifiers import message_time_ms

KEPT_MS: Final = 3_600_000
"""What is kept longer is forgotten with everything: the database drops old rows too."""
KNOWN_COUNT_MAX: Final = 4_096
"""Some 3.5 MB: at 700 calls a second what came within three seconds."""
STATES_BYTES_MAX: Final = 4 * 1_048_576
_STATE_BYTES: Final = 300
"""What a state takes beside its bytes, about."""

KnownKey = tuple[int, MessageKey]
"""(journal partition, (sender, id))."""


class Recent:
    """Known messages and business states, the newest of each; what must be asked for is what it does not have."""

    def __init__(self, *, known_count_max: int = KNOWN_COUNT_MAX, states_bytes_max: int = STATES_BYTES_MAX) -> None:
        """Knows nothing, and assumes of no message that it is new, until `begin`."""
        self._known_count_max = known_count_max
        self._states_bytes_max = states_bytes_max
        # Where the oldest is taken out again and again, an ordinary dict is searched past all that is gone.
        self._known: OrderedDict[KnownKey, KnownMessage] = OrderedDict()
        self._states: OrderedDict[StateKey, Any] = OrderedDict()
        self._states_bytes = 0
        self._complete_after_ms: float = float("inf")
        self._began_ms = 0

    def begin(self, now_ms: int) -> None:
        """Forget everything: partitions were taken at this time, and others may have written them until then."""
        self._known.clear()
        self._states.clear()
        self._states_bytes = 0
        self._complete_after_ms = self._began_ms = now_ms

    def forget_in_time(self, now_ms: int) -> None:
        """Between two batches: begin again after `KEPT_MS`."""
        if now_ms - self._began_ms >= KEPT_MS:
            self.begin(now_ms)

    # ---- messages --------------------------------------------------------------------------------------------------

    def known(self, wanted: Iterable[KnownKey]) -> dict[KnownKey, KnownMessage]:
        """Those of the messages that are had."""
        have = self._known
        return {key: have[key] for key in wanted if key in have}

    def seems_new(self, key: KnownKey) -> bool:
        """Whether a message would be had if it were known: it was made after all that may have been forgotten."""
        return message_time_ms(key[1][1]) > self._complete_after_ms and key not in self._known

    def keep_known(self, known: Mapping[KnownKey, KnownMessage]) -> None:
        """These were read, or written by a transaction that is committed."""
        have = self._known
        for key, message in known.items():
            have[key] = message
            have.move_to_end(key)  # What is kept last is forgotten last.
        while len(have) > self._known_count_max:
            (_, (_, message_id)), _ = have.popitem(last=False)
            self._complete_after_ms = max(self._complete_after_ms, message_time_ms(message_id))

    # ---- states ----------------------------------------------------------------------------------------------------

    def states(self, wanted: Iterable[StateKey]) -> dict[StateKey, Any]:
        """Those of the states that are had; None where there is none."""
        have = self._states
        return {key: have[key] for key in wanted if key in have}

    def keep_states(self, states: Mapping[StateKey, Any]) -> None:
        """These were read, or written by a transaction that is committed; None where there is none."""
        have = self._states
        for key, data in states.items():
            if key in have:
                self._states_bytes -= _size_bytes(have.pop(key))
            have[key] = data
            self._states_bytes += _size_bytes(data)
        while self._states_bytes > self._states_bytes_max:
            self._states_bytes -= _size_bytes(have.popitem(last=False)[1])


def _size_bytes(data: bytes | None) -> int:
    return _STATE_BYTES + (0 if data is None else len(data))
