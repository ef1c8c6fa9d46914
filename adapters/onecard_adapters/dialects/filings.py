"""Which filing covers care, and what of it is carried with the settlement (domain.md, 1.3)."""

from collections.abc import Mapping
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1.values_pb2 import CalendarDay
from onecard.medical.v1.coverage_pb2 import QueryCoverageResponse
from onecard.medical.v1.filing_pb2 import Filing
from onecard.medical.v1.settlement_pb2 import SettlementTerms
from onecard_adapters.mapping.fields import day_from, day_text
from onecard_protocol.errors import OneCardError

_DAYS: Final = {"first_day": "filing_first_day", "last_day": "filing_last_day"}
"""Days of a filing, and their names in the terms of a settlement and in what an encounter remembers."""


def validity(filing: Filing | None) -> dict[str, str]:
    """The days of a filing as an encounter remembers them, so that a later change of the filing changes nothing."""
    if filing is None:
        return {}
    return {kept: day_text(getattr(filing, day)) for day, kept in _DAYS.items() if filing.HasField(day)}


def tell_validity(care: Mapping[str, str], terms: SettlementTerms) -> None:
    """Put what an encounter remembers of its filing's days into the terms of a settlement."""
    for kept in _DAYS.values():
        if care.get(kept):
            getattr(terms, kept).CopyFrom(day_from(care[kept], kept))


def choose_filing(
    coverage: QueryCoverageResponse, *, area: str, institution_code: str, day: CalendarDay, named: str
) -> Filing | None:
    """The filing that covers care in this area on this day: the one named, or the only one; None if there is none.

    Raises FILING_UNKNOWN if the one named does not cover it, LOCAL_FORM_INVALID if several do and none was named:
    its type is an input of the benefit, so it is never guessed (domain.md 1.3).
    """
    covering = [filing for filing in coverage.filings if _covers(filing, area, institution_code, day)]
    if named:
        chosen = [filing for filing in covering if filing.filing_id == named]
        if not chosen:
            raise OneCardError(
                errors_pb2.ERROR_REASON_FILING_UNKNOWN, "the filing named does not cover this institution and day"
            )
        return chosen[0]
    if len(covering) > 1:
        raise OneCardError(
            errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"{len(covering)} filings cover this care; name the one meant"
        )
    return covering[0] if covering else None


def _covers(filing: Filing, area: str, institution_code: str, day: CalendarDay) -> bool:
    wanted = filing.destination_area
    # A province (xx0000) or a city (xxxx00) as a whole, or one district.
    prefix = wanted[:2] if wanted.endswith("0000") else wanted[:4] if wanted.endswith("00") else wanted
    at = (day.year, day.month, day.day)
    first = (filing.first_day.year, filing.first_day.month, filing.first_day.day)
    last = (filing.last_day.year, filing.last_day.month, filing.last_day.day)
    return (
        area.startswith(prefix)
        and filing.institution_code in ("", institution_code)
        and first <= at
        and (not filing.HasField("last_day") or at <= last)
    )
