"""A local system's own words, fit to leave the province: without the numbers of persons and cards that they may quote.

One masking for every dialect: it is on the way to `Rejection.local_text`, to cashiers and to the hub.
"""

import re
from typing import Final

from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.errors import OneCardError

CHARACTERS_MAX: Final = 200

# Identity numbers (also half masked, and 15 digits), personal numbers, bank cards: eight digits and more. Card numbers,
# passports and permits: up to three letters, then seven and more. Shorter ones, such as amounts, counts and days with
# dashes, stay readable.
_NUMBER: Final = re.compile(r"[A-Za-z]{1,3}\d{7}[\dXx*]*|[A-Za-z]{0,3}\d[\dXx*]{7,}")


def masked(text: str) -> str:
    """The text without such numbers, at most 200 characters."""
    return _NUMBER.sub("***", text)[:CHARACTERS_MAX]


def local_text_of(error: OneCardError) -> str:
    """What the local system that refused said, the own one or, in a signed rejection, another province's; masked."""
    if isinstance(error, CallFailed):
        return "" if error.rejection is None else masked(error.rejection.local_text)
    return getattr(error, "local_text", "")
