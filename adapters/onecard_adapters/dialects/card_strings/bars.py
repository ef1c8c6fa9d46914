"""Card strings: values between bars, in the orders that drivers and clients write them.

Values are found by their place, because these strings have no names: an order is the names of CardString's fields, ""
for a place that no source explains. What a terminal writes onto a card has another order, and stands in no request.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError

CHARACTERS_MAX: Final = 2_000
_BAR: Final = "|"
_READ_WELL: Final = "1"
"""Return code of a driver that read the card."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CardString:
    """What a card string may hold; "" where its order has no place for it. Issuing area and dates as read."""

    issuing_area: str = ""
    social_number: str = dataclasses.field(default="", repr=False)
    card_number: str = dataclasses.field(default="", repr=False)
    recognition_code: str = dataclasses.field(default="", repr=False)
    name: str = dataclasses.field(default="", repr=False)
    reset_information: str = ""
    specification_version: str = ""
    issue_day: str = ""
    expiry_day: str = ""
    """Empty where the place's cards do not expire, as in Guangxi."""
    terminal_number: str = ""
    terminal_device: str = ""
    permit_number: str = ""
    """持卡就诊登记许可号."""
    entry: str = ""
    """How the card came to the client, NEW in the sample."""
    return_code: str = ""


DRIVER: Final = (
    *("issuing_area", "social_number", "card_number", "recognition_code", "name", "reset_information"),
    *("specification_version", "issue_day", "expiry_day", "terminal_number", "terminal_device"),
)
"""A driver's 11 values (samples card-read-basic-11-fields)."""
DRIVER_WITH_CODE: Final = ("return_code", *DRIVER, "permit_number")
"""Another driver's 13: its return code first (card-read-basic-with-rc-13-fields-spaced)."""
CARD_INFO: Final = ("card_number", "", "", "", "issuing_area", "", "", "social_number", "name", "entry")
"""The card info of Guangxi's web client (neusoft-gx-cardInfo): 10 values."""

_BY_COUNT: Final = {len(layout): layout for layout in (DRIVER, DRIVER_WITH_CODE, CARD_INFO)}


def split(text: str) -> list[str]:
    """The values between the bars, without the blanks around them; the trailing bar ends the last one."""
    if len(text) > CHARACTERS_MAX:
        raise _invalid(f"card string: {len(text)} characters, at most {CHARACTERS_MAX} are read")
    values = [value.strip() for value in text.strip("\r\n").split(_BAR)]
    if len(values) > 1 and not values[-1]:
        values.pop()
    return values


def read(text: str) -> CardString:
    """A card string; its order is told by the number of values.

    Raises LOCAL_FORM_INVALID for another number of values, and for a driver's code that the card was not read.
    """
    values = split(text)
    names = _BY_COUNT.get(len(values))
    if names is None:
        wanted = " or ".join(str(count) for count in sorted(_BY_COUNT))
        raise _invalid(f"card string: {len(values)} values, {wanted} are expected")
    card = CardString(**{name: value for name, value in zip(names, values, strict=True) if name})
    if card.return_code and card.return_code != _READ_WELL:
        raise _invalid("card string.return_code: the driver did not read the card")
    return card


def _invalid(problem: str) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, problem)
