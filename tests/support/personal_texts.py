"""What a local system may say of a person in its own words: numbers that must never leave the province."""

from typing import Final

NUMBERS: Final = (
    "51000020170101997X",
    "510000701231999",
    "899900001",
    "ZG9900000001",
    "A99900001",
    "E99900001",
    "EA9990001",
    "6228480000000000018",
    "5100002017****997X",
    "4403009900000001",
)
"""Identity cards (18, 15), a short psn_no, one with letters, a card, two passports, a bank card, half masked ones."""

QUOTING: Final = f"参保人{'，'.join(NUMBERS)}不符，共2笔，金额5000.10元，2024-03-15"
"""A refusal that quotes them all, and a count, an amount and a day that a cashier needs."""
QUOTED: Final = f"参保人{'，'.join('***' for _ in NUMBERS)}不符，共2笔，金额5000.10元，2024-03-15"
"""The same as it may leave the province."""
