"""The code tables of the dialects meet: what one province writes nationally, the other reads."""

from pathlib import Path

import pytest

from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.profiles import models

_DIRECTORY = Path(models.__file__).parent / "codes"
_FILES = sorted(_DIRECTORY.glob("*.yaml"))
_TABLES = {path.stem: CodeTables.load(path) for path in _FILES}
# A referral's own local codes for filing types; filing_type is the table that both dialects share.
_OF_ONE_DIALECT = {"refl_type", "dcla_souc", "clr_type", "clr_way", "psn_setlway", "diag_type"}


@pytest.mark.parametrize("name", sorted(_TABLES))
def test_every_code_goes_out_and_comes_back(name: str) -> None:
    for table_name in _TABLES[name]:
        table = _TABLES[name][table_name]
        for national, entry in table.by_national.items():
            coded = table.coded(national)
            for local in entry.local:
                assert table.to_national(local, "path") == coded
            assert table.to_local(coded, "path") == entry.local[0]


def test_the_dialects_share_every_code_of_the_tables_that_travel() -> None:
    infno, xml = _TABLES["nhsa-infno"], _TABLES["cross-region-xml"]
    for name in set(infno) - _OF_ONE_DIALECT:
        assert name in set(xml), f"cross-region-xml lacks {name}"
        one, other = infno[name], xml[name]
        assert (one.system, one.system_version) == (other.system, other.system_version), name
        assert set(one.by_national) == set(other.by_national), name
    for name in _OF_ONE_DIALECT & set(xml):
        assert infno[name].system == xml[name].system, name


def test_a_referral_type_names_filing_types_only() -> None:
    infno = _TABLES["nhsa-infno"]
    assert set(infno["refl_type"].by_national) <= set(infno["filing_type"].by_national)
    assert infno["refl_type"].system == infno["filing_type"].system
