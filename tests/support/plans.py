"""Plans of statements as the code sends them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from onecard_broker.records.pool import Connection

Node = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What PostgreSQL would do with a statement."""

    nodes: Sequence[Node]

    @property
    def scanned(self) -> set[str]:
        """Tables that are read from end to end, without their partitions' numbers."""
        return {_whole(node["Relation Name"]) for node in self.nodes if node["Node Type"] == "Seq Scan"}

    @property
    def used(self) -> set[str]:
        """Indexes, without their partitions' numbers."""
        return {_whole(node["Index Name"]) for node in self.nodes if "Index Name" in node}

    @property
    def searched(self) -> set[str]:
        """Indexes that are asked for what meets a condition, not gone through."""
        return {_whole(node["Index Name"]) for node in self.nodes if "Index Name" in node and "Index Cond" in node}

    @property
    def arbiters(self) -> set[str]:
        """Indexes that tell whether a row to be written stands there already."""
        return {_whole(index) for node in self.nodes for index in node.get("Conflict Arbiter Indexes", [])}

    def looks_up(self, index: str, *conditions: str) -> bool:
        """Whether an index is asked for what meets the conditions, not gone through."""
        return any(
            _whole(node.get("Index Name", "")) == index
            and all(condition in node.get("Index Cond", "") for condition in conditions)
            for node in self.nodes
        )


class Plans:
    """The plans of all that a connection sends, each asked for before its statement is sent."""

    def __init__(
        self,
        connection: Connection,
        monkeypatch: pytest.MonkeyPatch,
        *,
        large: Collection[str],
        kept_by: Connection | None = None,
    ) -> None:
        """`large` are the tables that no statement may read from end to end, without their partitions' numbers.

        With `kept_by`, plans are those of prepared statements, made without their parameters on that connection.
        """
        self._made: list[Plan] = []
        self._large = frozenset(large)
        execute = connection.execute

        async def explained(statement: Any, parameters: Any = None, **options: Any) -> Any:
            if kept_by is not None:
                numbers = itertools.count(1)
                kept = re.sub("%b", lambda _: f"${next(numbers)}", statement)
                cursor = await kept_by.execute(f"EXPLAIN (FORMAT JSON, GENERIC_PLAN) {kept}")
            else:
                cursor = await execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters, prepare=False)
            row = await cursor.fetchone()
            assert row is not None
            found = row[0] if isinstance(row[0], list) else json.loads(row[0])
            self._made.append(Plan(_nodes(found[0]["Plan"])))
            return await execute(statement, parameters, **options)

        monkeypatch.setattr(connection, "execute", explained)

    def take(self) -> list[Plan]:
        """The plans since the last look; none of them reads a large table from end to end."""
        made, self._made = self._made, []
        assert made
        for plan in made:
            assert not plan.scanned & self._large, plan
        return made


def _nodes(plan: Node) -> list[Node]:
    return [plan, *(node for part in plan.get("Plans", []) for node in _nodes(part))]


def _whole(name: str) -> str:
    return re.sub(r"_(p\d{4}|d\d+|rest)", "", name)
