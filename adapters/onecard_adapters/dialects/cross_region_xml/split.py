"""The split of a settlement as this form tells it, and what the form leaves out.

The samples carry neither cash nor the person's and the hospital's parts. What is missing on a settlement follows from
the identities of domain.md 1.7; on a red record the two parts stay absent, as they are null there. Nothing is computed
that the core has told, and what it told must add up.
"""

from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard.medical.v1.values_pb2 import FundItem, SettlementSplit
from onecard_adapters.dialects.cross_region_xml import forms, times
from onecard_adapters.dialects.cross_region_xml.safe_xml import Element
from onecard_adapters.dialects.fee_parts import parts_fen
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError

_COUNTS_AS: Final = "counts_as"


def read_split(output: Element, tables: CodeTables, *, is_red: bool) -> SettlementSplit:
    """The split of a settlement's answer, or of a red record. Raises LOCAL_FORM_INVALID, UNMAPPED_CODE, and
    AMOUNTS_INCONSISTENT naming the identity that fails.
    """
    split = SettlementSplit()
    forms.read_into(forms.SPLIT, output, split, tables)
    if not output.value("akb067"):
        split.cash_fen = split.total_fen - split.fund_total_fen - split.hospital_part_fen - split.personal_account_fen
    if not is_red:
        if not output.value("yzc006"):
            split.hospital_part_fen = 0
        if not output.value("yzc002"):
            split.personal_part_fen = split.personal_account_fen + split.cash_fen
    for row in forms.rows_of(output, "detail"):
        item = split.items.add()
        forms.read_into(forms.FUND_ITEM, row, item, tables)
        item.is_fund = _is_fund(item, tables)
    _require_identities(split)
    return split


def write_split(split: SettlementSplit, tables: CodeTables) -> list[Element]:
    """The elements of a split."""
    items = [forms.leaves(forms.FUND_ITEM.write(item, tables, "output.detail")) for item in split.items]
    return [*forms.leaves(forms.SPLIT.write(split, tables, "output")), forms.rows("detail", items)]


def settled_time(output: Element, day_sent: str) -> Timestamp:
    """When it was settled: ykc621, or where the form leaves it out the beginning of the day that was sent (aae036)."""
    return times.timestamp_from(output.value("ykc621") or day_sent, "output.ykc621")


def _is_fund(item: FundItem, tables: CodeTables) -> bool:
    return tables["fund_pay_type"].entry(item.fund_type, "output.detail.aaa157").attributes.get(_COUNTS_AS) == "fund"


def _require_identities(split: SettlementSplit) -> None:
    funds = (
        split.pooling_fund_fen
        + split.civil_servant_fund_fen
        + split.enterprise_fund_fen
        + split.serious_illness_fund_fen
        + split.large_amount_fund_fen
        + split.assistance_fund_fen
        + split.other_fund_fen
    )
    identities = {
        "total = full self-pay + over limit + preceding + in scope": split.total_fen == parts_fen(split),
        "fund total = sum of the funds": split.fund_total_fen == funds,
        "fund total = sum of the fund items": not split.items
        or split.fund_total_fen == sum(item.paid_fen for item in split.items if item.is_fund),
    }
    if split.HasField("personal_part_fen"):
        identities["total = fund total + personal part + hospital part"] = (
            split.total_fen == split.fund_total_fen + split.personal_part_fen + split.hospital_part_fen
        )
        identities["personal part = account + cash"] = (
            split.personal_part_fen == split.personal_account_fen + split.cash_fen
        )
    broken = [("split", name) for name, holds in identities.items() if not holds]
    if broken:
        raise OneCardError(
            ErrorReason.ERROR_REASON_AMOUNTS_INCONSISTENT, "the local system's amounts do not add up", violations=broken
        )
