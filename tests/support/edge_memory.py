"""The adapter's memory for tests of dialects."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Transaction:
    institution_code: str
    local_transaction_id: str
    body_digest: bytes
    message_id: bytes
    method: str
    encounter_id: str
    attributes: dict[str, str]


class _Memory:
    def __init__(self) -> None:
        self._persons: dict[tuple[str, str], Any] = {}
        self._encounters: dict[tuple[str, str], Any] = {}
        self._transactions: dict[bytes, _Transaction] = {}

    async def remember_person(self, insurance_area: str, personal_number: str, person: Any) -> None:
        self._persons[insurance_area, personal_number] = person

    async def find_person(self, insurance_area: str, personal_number: str) -> Any:
        return self._persons.get((insurance_area, personal_number))

    async def remember_encounter(self, institution_code: str, visit_id: str, encounter: Any) -> None:
        self._encounters[institution_code, visit_id] = encounter

    async def find_encounter(self, institution_code: str, visit_id: str) -> Any:
        return self._encounters.get((institution_code, visit_id))

    async def remember_transaction(
        self,
        institution_code: str,
        local_transaction_id: str,
        body_digest: bytes,
        message_id: bytes,
        method: str,
        encounter_id: str,
        attributes: Mapping[str, str],
    ) -> _Transaction:
        for known in await self.find_transactions(institution_code, local_transaction_id):
            if known.body_digest == body_digest:
                return known
        made = _Transaction(
            institution_code=institution_code,
            local_transaction_id=local_transaction_id,
            body_digest=body_digest,
            message_id=message_id,
            method=method,
            encounter_id=encounter_id,
            attributes=dict(attributes),
        )
        self._transactions[message_id] = made
        return made

    async def find_transactions(self, institution_code: str, local_transaction_id: str) -> list[_Transaction]:
        return [
            item
            for item in self._transactions.values()
            if (item.institution_code, item.local_transaction_id) == (institution_code, local_transaction_id)
        ]

    async def find_transactions_of_encounter(self, encounter_id: str, method: str) -> list[_Transaction]:
        return [
            item for item in self._transactions.values() if (item.encounter_id, item.method) == (encounter_id, method)
        ]

    async def update_transaction(self, message_id: bytes, attributes: Mapping[str, str]) -> None:
        known = self._transactions[message_id]
        self._transactions[message_id] = dataclasses.replace(known, attributes={**known.attributes, **attributes})


@contextlib.asynccontextmanager
async def edge_memory(directory: Path) -> AsyncIterator[Any]:
    """A memory in `directory`."""
    yield _Memory()
