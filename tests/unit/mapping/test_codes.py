"""Code tables refuse what they do not hold, in both directions, and say which table of which version."""

from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1.values_pb2 import CodedValue
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError

_FILE = """
version: "2024.1"
tables:
  psn_cert_type:
    system: nhsa.psn_cert_type
    system_version: "1"
    codes:
      - {national: "01", local: ["01", "1"], name: 身份证}
      - {national: "90"}
"""


def _tables(tmp_path: Path, text: str = _FILE) -> CodeTables:
    path = tmp_path / "codes.yaml"
    path.write_text(text, encoding="utf-8")
    return CodeTables.load(path)


def test_several_local_codes_mean_one_and_the_first_is_written(tmp_path: Path) -> None:
    table = _tables(tmp_path)["psn_cert_type"]
    national = table.to_national("1", "certno")
    assert national == CodedValue(system="nhsa.psn_cert_type", version="1", code="01")
    assert table.to_local(national, "certno") == "01"


@pytest.mark.parametrize("local", ["2", "", "01 ", "９０"])
def test_an_unknown_local_code_is_refused_with_field_table_and_version(tmp_path: Path, local: str) -> None:
    with pytest.raises(OneCardError, match=r"baseinfo\.psn_cert_type: .* psn_cert_type version 2024\.1") as refused:
        _tables(tmp_path)["psn_cert_type"].to_national(local, "baseinfo.psn_cert_type")
    assert refused.value.reason == errors_pb2.ERROR_REASON_UNMAPPED_CODE


def test_a_personal_number_in_a_code_field_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(OneCardError) as refused:
        _tables(tmp_path)["psn_cert_type"].to_national("510000199001019910", "psn_cert_type")
    assert "510000199001019910" not in str(refused.value)


@pytest.mark.parametrize(
    "coded",
    [
        CodedValue(system="nhsa.psn_cert_type", version="1", code="07"),
        CodedValue(system="nhsa.psn_cert_type", version="2", code="01"),
        CodedValue(system="mohrss.aac058", version="1", code="01"),
        CodedValue(),
    ],
)
def test_the_same_digits_of_another_system_or_version_are_another_code(tmp_path: Path, coded: CodedValue) -> None:
    with pytest.raises(OneCardError) as refused:
        _tables(tmp_path)["psn_cert_type"].to_local(coded, "psn_cert_type")
    assert refused.value.reason == errors_pb2.ERROR_REASON_UNMAPPED_CODE


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (('"90"', '"01"'), "national code '01' stands twice"),
        (('{national: "90"}', '{national: "90", local: ["1"]}'), "local code '1' stands twice"),
        (('"90"', "90"), "write codes in quotes"),
        (("codes:", "kodes:"), r"tables\.psn_cert_type\.codes: is missing"),
        (('version: "2024.1"', ""), "version"),
        ((_FILE, ""), "holds no settings"),
    ],
)
def test_a_table_that_contradicts_itself_does_not_load(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    with pytest.raises(OneCardError, match=problem) as refused:
        _tables(tmp_path, _FILE.replace(*change, 1))
    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID


def test_a_missing_table_or_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(OneCardError, match="no table 'insutype'"):
        _tables(tmp_path)["insutype"]
    with pytest.raises(OneCardError, match=r"absent\.yaml"):
        CodeTables.load(tmp_path / "absent.yaml")
