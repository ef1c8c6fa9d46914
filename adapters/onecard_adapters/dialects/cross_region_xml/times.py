"""Times of this form: days as yyyyMMdd, moments as yyyyMMddHHmmss, both in Asia/Shanghai."""

import contextlib
import datetime
import re
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from onecard_adapters.dialects.cross_region_xml.safe_xml import form_invalid
from onecard_protocol.china_time import SHANGHAI

_MOMENT: Final = re.compile(r"(\d{4})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?:([01]\d|2[0-3])([0-5]\d)([0-5]\d))?")
"""A tenth of the time of strptime, which takes the same digits."""


def now() -> Timestamp:
    """This moment, to the second, as local systems keep it."""
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.datetime.now(datetime.UTC).replace(microsecond=0))
    return timestamp


def today() -> str:
    """Today's day, as aae036 carries it."""
    return datetime.datetime.now(SHANGHAI).date().isoformat().replace("-", "")


def timestamp_from(text: str, path: str) -> Timestamp:
    """The moment of 14 digits, or the beginning of the day of 8. Raises LOCAL_FORM_INVALID naming `path`."""
    match = _MOMENT.fullmatch(text)
    if match is not None:
        with contextlib.suppress(ValueError, OverflowError):  # such as 20230230; 00010101 is in no year of UTC
            year, month, day, hour, minute, second = map(int, match.groups("0"))
            timestamp = Timestamp()
            timestamp.FromDatetime(datetime.datetime(year, month, day, hour, minute, second, tzinfo=SHANGHAI))
            return timestamp
    raise form_invalid(f"{path}: neither yyyyMMddHHmmss nor yyyyMMdd")


def text_from(timestamp: Timestamp) -> str:
    """The moment as 14 digits; the zero time as an empty text."""
    if not timestamp.seconds:
        return ""
    return timestamp.ToDatetime(datetime.UTC).astimezone(SHANGHAI).strftime("%Y%m%d%H%M%S")
