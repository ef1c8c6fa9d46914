"""A local system's own words, fit to leave the province: without the numbers of persons and cards that they may quote.

One masking for every dialect: it is on the way to `Rejection.local_text`, to cashiers and to the hub.
"""

import re
from typing import Final

from onecard_adapters.sdk.failures import CallFailed
from onecard_protocol.errors import OneCardError
from onecard_protocol.redaction import HIDDEN

CHARACTERS_MAX: Final = 200

# A whole number: identity numbers (also half masked, and 15 digits), personal numbers, bank cards of eight figures and
# more; card numbers, passports and permits of up to three letters, then seven and more. `\d` and `\s` are Unicode's:
# full-width ones too. Those of fifteen and more are complete, so what stands beside them is no part of them.
_LETTER: Final = "[A-Za-zＡ-Ｚａ-ｚ]"
_FIGURE: Final = r"[\dXxＸｘ*＊]"
_COMPLETE: Final = re.compile(rf"{_LETTER}{{0,3}}\d{_FIGURE}{{14,}}")
_LONG: Final = re.compile(rf"{_FIGURE}{{8}}")
# What may be one: groups of figures that spaces, dashes, dots, slashes or a comma part.
_ROW: Final = re.compile(
    rf"({_LETTER}{{0,3}})\d{_FIGURE}*(?:(?:[\s\u200b\u00ad\-‐-―−﹘﹣－._＿·•．/／]{{1,3}}|,){_FIGURE}+)*"
)
# What is none, for all its figures: a day, and an amount below a thousand million yuan.
_READABLE: Final = re.compile(
    r"(?:(?<![\w*])|(?<=RMB)|(?<=CNY))(?<![\w*][-/.,])"
    r"(?:(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|\d{1,7}\.\d{1,2}|\d{1,3}(?:,\d{3}){1,2}(?:\.\d{1,2})?)"
    r"(?![\w*]|[-/.,][\w*])"
)


def masked(text: str) -> str:
    """The text without such numbers, however they are grouped, at most 200 characters.

    Days, times, amounts, counts and codes stay readable, unless they stand in one row with the groups of such a number.
    """
    return _ROW.sub(_shown, _COMPLETE.sub(HIDDEN, text))[:CHARACTERS_MAX]


def _shown(row: re.Match[str]) -> str:
    """What is shown in place of a row of figures: itself or the mask."""
    rest = _READABLE.sub("", row[0])
    is_number = _LONG.search(rest) is not None or len(re.findall(_FIGURE, rest)) >= (7 if row[1] else 9)
    return HIDDEN if is_number else row[0]


def local_text_of(error: OneCardError) -> str:
    """What the local system that refused said, the own one or, in a signed rejection, another province's; masked."""
    if isinstance(error, CallFailed):
        return "" if error.rejection is None else masked(error.rejection.local_text)
    return getattr(error, "local_text", "")
