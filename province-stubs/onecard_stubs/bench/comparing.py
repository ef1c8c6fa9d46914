"""What a hospital was told against what its patients' core holds, settlement by settlement: totals would cancel out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def lost_and_doubled(
    told_ids: Sequence[str], visits_in_doubt: Sequence[str], standing: Mapping[str, str]
) -> tuple[int, int]:
    """How many settlements are lost and how many doubled.

    `told_ids`: settlements that the hospital was told are done. `visits_in_doubt`: visits whose settling it was not
    told the end of. `standing`: the visit of each settlement that stands at the core.

    Lost is what the hospital was told and does not stand. Doubled is what stands and was never told, but for one of
    each visit in doubt, and what the hospital was told twice.
    """
    told = set(told_ids)
    untold = Counter(visit for settlement_id, visit in standing.items() if settlement_id not in told)
    allowed = Counter(set(visits_in_doubt))
    return len(told - standing.keys()), len(told_ids) - len(told) + (untold - allowed).total()
