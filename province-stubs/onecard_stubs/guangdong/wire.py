"""infno JSON as Guangdong's systems write and read it; numbers are Decimal, never float."""

import json
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from onecard_protocol.china_time import SHANGHAI

NO_LIMIT = Decimal(999_999)


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a message; ValueError if it is none."""
    value = json.loads(body.decode("utf-8"), parse_float=Decimal)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def write(value: object) -> str:
    """Compact JSON with Decimals as numbers: json.dumps writes the text, marked numbers lose their quotes after."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_marked)
    return text.replace(f'"{_MARK}', "").replace(f'{_MARK}"', "")


# A noncharacter (Unicode 23.7): no text carries it.
_MARK = "\ufdd0"


def _marked(value: object) -> str:
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} has no JSON form")
    return f"{_MARK}{value:f}{_MARK}"


def fen(value: object) -> int:
    """Yuan, as number or text, to fen, half up; nothing is 0."""
    if value in (None, ""):
        return 0
    return int((Decimal(str(value)) * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def yuan(amount_fen: int | None) -> Decimal | None:
    """Fen to yuan with two decimals; None stays null."""
    return None if amount_fen is None else Decimal(amount_fen).scaleb(-2)


def now() -> datetime:
    """The time in China."""
    return datetime.now(SHANGHAI)


def clock(time: datetime) -> str:
    """yyyy-MM-dd HH:mm:ss."""
    return f"{time:%Y-%m-%d %H:%M:%S}"


def compact(time: datetime) -> str:
    """yyyyMMddHHmmssSSS."""
    return f"{time:%Y%m%d%H%M%S}{time.microsecond // 1_000:03d}"
