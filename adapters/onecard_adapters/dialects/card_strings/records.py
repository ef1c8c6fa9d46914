"""A card as this form tells it, in a notice and in an answer: its string, and columns beside it."""

from __future__ import annotations

from collections.abc import Mapping

from onecard_adapters.cards.port import LocalCard
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.card_strings import bars
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.identifiers import participant_of_area

STRING_TAG = "卡串"


def read_record(values: Mapping[str, str], tables: CodeTables, issuer: str, at: str) -> LocalCard | None:
    """The card; None while none exists. What the string says is not said again by a column.

    Raises LOCAL_FORM_INVALID, also for a string of a card that another province issued, and UNMAPPED_CODE.
    """
    string = bars.read(values.get(STRING_TAG, ""))
    if participant_of_area(string.issuing_area) != issuer:
        raise card_fields.invalid(f"{at}.{STRING_TAG}", "the issuing area is none of this province's")
    flat: dict[str, object] = {name.lower(): text for name, text in values.items() if name != STRING_TAG}
    flat |= {
        "aaz500": string.card_number,
        "aac007": string.social_number,
        "aac003": string.name,
        "ykz501": string.recognition_code,
        "ykz503": string.specification_version,
        "aaz161": string.issue_day,
        "aaz162": string.expiry_day,
    }
    # A foreigner's certificate is not the social number; a citizen's is.
    flat.setdefault("aac002", string.social_number)
    return card_fields.read_card(flat, tables, issuer, at)
