"""What the insured role remembers of settlements and cancellations: under which transid the core got them, and how they
ended. Undo is keyed by the original's id, and a tombstone stands for what must never be executed (design.md, section 4,
rule 12).
"""

import enum
from dataclasses import dataclass, replace
from typing import Final

from onecard_adapters.runtime.memory import EdgeMemory, Transaction
from onecard_protocol.identifiers import id_text

# Place of the institution code in the memory's key: these rows are the adapter's own, not an institution's.
_SCOPE: Final = "cross-region-xml/insured"
_NO_DIGEST: Final = bytes(32)


class Ending(enum.StrEnum):
    """How far an original is."""

    OPEN = "open"
    """The core may have been called."""
    UNDONE = "undone"
    BURIED = "buried"
    """Never executed, and never will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A settlement or cancellation."""

    message_id: bytes
    method: str
    transid: str
    ending: Ending
    ended: str
    """When it was undone or buried, as 14 digits; empty before."""


class Originals:
    """The memory of originals."""

    def __init__(self, memory: EdgeMemory) -> None:
        self._memory = memory

    async def begin(self, message_id: bytes, method: str, transid: str, encounter_id: str) -> Original:
        """Remember an original before the core is called; the one that is known already, if one is."""
        return await self._remember(
            message_id, method, encounter_id, {"transid": transid, "ending": Ending.OPEN.value, "ended": ""}
        )

    async def bury(self, message_id: bytes, method: str, encounter_id: str, when: str) -> Original:
        """Set the tombstone of an original that is not known; if it is known after all, that one is returned."""
        return await self._remember(
            message_id, method, encounter_id, {"transid": "", "ending": Ending.BURIED.value, "ended": when}
        )

    def find(self, original_id: str) -> Original | None:
        """The original of a national id, given as 32 hex digits."""
        found = self._memory.find_transactions(_SCOPE, original_id)
        return _original(found[0]) if found else None

    async def end(self, original: Original, ending: Ending, when: str) -> Original:
        """Note that an original was undone or will never be executed; the original as it is then."""
        await self._memory.update_transaction(
            original.message_id, {"transid": original.transid, "ending": ending.value, "ended": when}
        )
        return replace(original, ending=ending, ended=when)

    async def _remember(
        self, message_id: bytes, method: str, encounter_id: str, attributes: dict[str, str]
    ) -> Original:
        return _original(
            await self._memory.remember_transaction(
                _SCOPE, id_text(message_id), _NO_DIGEST, message_id, method, encounter_id, attributes
            )
        )


def _original(transaction: Transaction) -> Original:
    return Original(
        message_id=transaction.message_id,
        method=transaction.method,
        transid=transaction.attributes["transid"],
        ending=Ending(transaction.attributes["ending"]),
        ended=transaction.attributes["ended"],
    )
