"""Records as CloudEvents 1.0 in the binary mode of the Kafka binding, on both logs.

Attributes are headers `ce_…`, the payload is the value. The signed header and the signature block stand beside them in
headers of our own, in Base64: the `cloudevents` SDK decodes every header of a record as UTF-8 text, ours included, and
would refuse raw bytes. Knows nothing of what the events mean. On the hot path, hence written out by hand.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from datetime import UTC, datetime
from functools import lru_cache

from onecard_broker.log.port import LoggedRecord, Record
from onecard_protocol.value_class import value_class

SUBJECT = "ce_subject"
HEADER = "onecard-header"
SIGNATURE = "onecard-signature"

_ATTRIBUTES = frozenset(("specversion", "id", "source", "type", "time", "subject", "datacontenttype", "data"))
_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}")
_SPECVERSION = ("ce_specversion", b"1.0")
_OWN_TIME_LENGTH = len("2026-01-01T00:00:00.000Z")


class MalformedEvent(ValueError):
    """A record is not a CloudEvent as this exchange writes them; the text never quotes its content."""


@value_class(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """One event; `header` and `signature` are the signed bytes, empty where nobody signed."""

    id: str
    source: str
    type: str
    time_ms: int
    subject: str
    extensions: dict[str, str]
    header: bytes
    signature: bytes
    data: bytes
    content_type: str


def encode(*, topic: str, partition: int, key: bytes, event: CloudEvent) -> Record:
    """Return the record that carries an event. Keys are text, never personal data.

    Raises ValueError for an extension name that CloudEvents does not allow or reserves, and for an empty id, source or
    type, which it requires.
    """
    if not (event.id and event.source and event.type):
        raise ValueError("an event has an id, a source and a type")
    headers = [
        _SPECVERSION,
        ("ce_id", event.id.encode()),
        ("ce_source", _text(event.source)),
        ("ce_type", _text(event.type)),
        ("ce_time", _time_text(event.time_ms)),
        ("content-type", _text(event.content_type)),
    ]
    if event.subject:
        headers.append((SUBJECT, _text(event.subject)))
    for name, value in event.extensions.items():
        headers.append((_extension_header(name), value.encode()))
    if event.header:
        headers.append((HEADER, b2a_base64(event.header, newline=False)))
    if event.signature:
        headers.append((SIGNATURE, b2a_base64(event.signature, newline=False)))
    return Record(topic=topic, partition=partition, key=key, value=event.data, headers=tuple(headers))


def decode(record: Record | LoggedRecord) -> CloudEvent:
    """Return the event that a record carries; unknown headers are passed over.

    Raises MalformedEvent.
    """
    attributes: dict[str, str] = {}
    header = signature = b""
    content_type = ""
    try:
        for name, value in record.headers:
            if name.startswith("ce_"):
                if name[3:] in attributes:
                    raise MalformedEvent("an attribute of the event stands twice")
                attributes[name[3:]] = value.decode()
            elif name == "content-type":
                content_type = value.decode()
            elif name == HEADER:
                header = a2b_base64(value, strict_mode=True)
            elif name == SIGNATURE:
                signature = a2b_base64(value, strict_mode=True)
        if attributes.pop("specversion") != "1.0":
            raise MalformedEvent("the record is a CloudEvent of another version than 1.0")
        return CloudEvent(
            id=attributes.pop("id"),
            source=attributes.pop("source"),
            type=attributes.pop("type"),
            time_ms=_time_ms(attributes.pop("time")),
            subject=attributes.pop("subject", ""),
            extensions=attributes,
            header=header,
            signature=signature,
            data=record.value,
            content_type=content_type,
        )
    except UnicodeDecodeError:
        # Not chained: the error would quote the bytes.
        raise MalformedEvent("an attribute of the event is not UTF-8") from None
    except Base64Error:
        raise MalformedEvent("header or signature of the event is not Base64") from None
    except KeyError as error:
        raise MalformedEvent(f"the event has no attribute {error.args[0]}") from None


@lru_cache(maxsize=1024)
def _text(text: str) -> bytes:
    """Texts that come again and again: methods, participants, types."""
    return text.encode()


@lru_cache(maxsize=256)
def _extension_header(name: str) -> str:
    if not _EXTENSION_NAME.fullmatch(name) or name in _ATTRIBUTES:
        raise ValueError(f"{name!r} is no name for an extension: 1 to 20 lower-case letters or digits, none reserved")
    return f"ce_{name}"


def _time_text(time_ms: int) -> bytes:
    seconds, milliseconds = divmod(time_ms, 1000)
    return b"%b.%03dZ" % (_second_text(seconds), milliseconds)


def _time_ms(text: str) -> int:
    # Our own form: the seconds are nearly always those of the record before.
    if len(text) == _OWN_TIME_LENGTH and text[-1] == "Z" and text[19] == "." and text[20:23].isdecimal():
        return _second(text[:19]) * 1000 + int(text[20:23])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedEvent("the event's time is not in RFC 3339 form") from None
    if moment.tzinfo is None:
        raise MalformedEvent("the event's time has no offset")
    return int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000


@lru_cache(maxsize=64)
def _second_text(seconds: int) -> bytes:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


@lru_cache(maxsize=64)
def _second(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text + "+00:00").timestamp())
    except ValueError:
        raise MalformedEvent("the event's time is not in RFC 3339 form") from None
