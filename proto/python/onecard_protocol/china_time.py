"""China has one time: that of calendar days, of times that people read and of those written without a zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")
"""Without summer time since 1991; earlier moments do not occur here."""


def shanghai_time(time_ms: int) -> datetime:
    """An instant in ms since 1970, as clocks in China show it."""
    return datetime.fromtimestamp(time_ms / 1_000, SHANGHAI)


def read_ms(text: str, layout: str) -> int:
    """ms since 1970 of a text of China's time, by strptime's layout. Raises ValueError also before UTC's year 1, which
    no message can hold.
    """
    try:
        return int(datetime.strptime(text, layout).replace(tzinfo=SHANGHAI).astimezone(UTC).timestamp()) * 1_000
    except OverflowError as error:
        raise ValueError("before the year 1") from error
