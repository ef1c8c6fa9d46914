"""Times of this form: days as yyyyMMdd, moments as yyyyMMddHHmmss, both in Asia/Shanghai."""

import datetime
import re
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from onecard_adapters.dialects.cross_region_xml.safe_xml import form_invalid

SHANGHAI: Final = datetime.timezone(datetime.timedelta(hours=8), "Asia/Shanghai")
"""China has had one time without summer time since 1991; earlier moments do not occur here."""

_FORMS: Final = ((re.compile(r"\d{14}"), "%Y%m%d%H%M%S"), (re.compile(r"\d{8}"), "%Y%m%d"))


def now() -> Timestamp:
    """This moment, to the second, as local systems keep it."""
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.datetime.now(datetime.UTC).replace(microsecond=0))
    return timestamp


def today() -> str:
    """Today's day, as aae036 carries it."""
    return datetime.datetime.now(SHANGHAI).strftime("%Y%m%d")


def timestamp_from(text: str, path: str) -> Timestamp:
    """The moment of 14 digits, or the beginning of the day of 8. Raises LOCAL_FORM_INVALID naming `path`."""
    for shape, layout in _FORMS:
        if shape.fullmatch(text):
            try:
                moment = datetime.datetime.strptime(text, layout).replace(tzinfo=SHANGHAI)
            except ValueError:
                break
            timestamp = Timestamp()
            timestamp.FromDatetime(moment)
            return timestamp
    raise form_invalid(f"{path}: neither yyyyMMddHHmmss nor yyyyMMdd")


def text_from(timestamp: Timestamp) -> str:
    """The moment as 14 digits; the zero time as an empty text."""
    if not timestamp.seconds:
        return ""
    return timestamp.ToDatetime(datetime.UTC).astimezone(SHANGHAI).strftime("%Y%m%d%H%M%S")
