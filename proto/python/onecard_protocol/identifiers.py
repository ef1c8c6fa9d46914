"""Names of participants and messages.

A participant is ``cn-NN`` by the first two digits of GB/T 2260 (``cn-66`` is the 兵团, ``cn-00`` the hub), or a bank,
``bank-NNN`` by its three-digit category in the payment system's bank codes (联行行号). A message id
is a UUIDv7 (RFC 9562, section 5.7) of 16 bytes whose time is the message's time of creation.
"""

from __future__ import annotations

import functools
import os
import re
from typing import Final, NewType

from onecard.exchange.v1 import options_pb2

ParticipantId = NewType("ParticipantId", str)
MessageId = NewType("MessageId", bytes)

HUB: Final = ParticipantId("cn-00")

PROVINCE_CODES: Final = (
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 66"
).split()
"""GB/T 2260 codes of the 31 provinces, and 66 for the 兵团, which has none there."""

PROVINCES: Final = frozenset(ParticipantId(f"cn-{code}") for code in PROVINCE_CODES)

BANKS: Final = frozenset(
    ParticipantId(f"bank-{code}") for code in "102 103 104 105 301 302 303 304 305 306 307 308 309 310 402 403".split()
)
"""Banks that open cards' accounts: 102 工商, 103 农业, 104 中国, 105 建设, 301 交通, 402 农信, 403 邮储 …"""

PARTICIPANTS: Final = frozenset({HUB}) | PROVINCES | BANKS

_NETWORK: Final = re.compile(r"production|test-[a-z0-9-]{1,27}")


@functools.lru_cache(maxsize=64)
def is_network(text: str) -> bool:
    """Whether the text is a network's name, ``production`` or ``test-…``."""
    return _NETWORK.fullmatch(text) is not None


def is_participant(text: str) -> bool:
    """Whether the text names a province, a bank or the hub."""
    return text in PARTICIPANTS


def role_of(participant: str) -> options_pb2.ParticipantRole:
    """The part that a participant has in the exchange; UNSPECIFIED for who is none, which no method allows anything."""
    if participant == HUB:
        return options_pb2.PARTICIPANT_ROLE_HUB
    if participant in PROVINCES:
        return options_pb2.PARTICIPANT_ROLE_PROVINCE
    if participant in BANKS:
        return options_pb2.PARTICIPANT_ROLE_BANK
    return options_pb2.PARTICIPANT_ROLE_UNSPECIFIED


def participant_of_area(area: str) -> ParticipantId | None:
    """The province of a six-digit administrative or insurance area; None if no province has it."""
    participant = ParticipantId(f"cn-{area[:2]}")
    return participant if len(area) == 6 and area.isdigit() and participant in PROVINCES else None


def message_id_from(time_ms: int, randomness: bytes) -> MessageId:
    """A UUIDv7 of a time in ms and 10 bytes that fill the rest; equal input gives the equal id."""
    value = bytearray(time_ms.to_bytes(6, "big") + randomness[:10])
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    return MessageId(bytes(value))


def new_message_id(time_ms: int) -> MessageId:
    """A new UUIDv7 for a message created at the time given, in ms since 1970."""
    return message_id_from(time_ms, os.urandom(10))


def message_time_ms(message_id: bytes) -> int:
    """The time in a UUIDv7, in ms since 1970."""
    return int.from_bytes(message_id[:6], "big")


def is_message_id(message_id: bytes) -> bool:
    """Whether the bytes are a UUIDv7."""
    return len(message_id) == 16 and message_id[6] >> 4 == 7 and message_id[8] >> 6 == 2


def id_text(message_id: bytes) -> str:
    """A message id as 32 lower-case hex digits, as it stands in payloads, tables and on screens."""
    return message_id.hex()


def id_from_text(text: str) -> MessageId | None:
    """The message id of 32 hex digits (dashes allowed); None if the text is none."""
    digits = text.replace("-", "")
    if len(digits) != 32:
        return None
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        return None
    return MessageId(value) if is_message_id(value) else None
