"""setlinfo and setldetail to a settlement split and back.

A code of setldetail that is no fund (personal account, hospital share) is kept as an item and marked, because the sum
of setldetail is not the sum of funds in any of the raw samples (domain.md 1.7).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from onecard.medical.v1.values_pb2 import FundItem, SettlementSplit
from onecard_adapters.dialects.infno import maps
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.mapping.fields import FieldMap

_FUND_TABLE = "fund_pay_type"


def read_split(
    info: Mapping[str, Any], details: Sequence[Mapping[str, Any]], tables: CodeTables, names: FieldMap = maps.SPLIT
) -> SettlementSplit:
    """A split from setlinfo and setldetail; `names` is SPLIT or SPLIT_AS_QUERIED."""
    split = SettlementSplit()
    names.read(info, split, tables, "setlinfo")
    for index, row in enumerate(details):
        path = f"setldetail[{index}]"
        item = FundItem()
        maps.FUND_ITEM.read(row, item, tables, path)
        entry = tables[_FUND_TABLE].entry(item.fund_type, f"{path}.fund_pay_type")
        item.is_fund = entry.attributes.get("counts_as") == "fund"
        split.items.append(item)
    return split


def write_split(
    split: SettlementSplit, tables: CodeTables, names: FieldMap = maps.SPLIT
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """setlinfo (money fields) and setldetail of a split."""
    details = []
    for index, item in enumerate(split.items):
        path = f"setldetail[{index}]"
        row = maps.FUND_ITEM.write(item, tables, path)
        row["fund_pay_type_name"] = tables[_FUND_TABLE].entry(item.fund_type, f"{path}.fund_pay_type").name
        details.append(row)
    return names.write(split, tables, "setlinfo"), details
