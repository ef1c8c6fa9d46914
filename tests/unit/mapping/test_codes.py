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
        (
            ('"90"', "90"),
            r"tables\.psn_cert_type\.codes\.1\.national: is no text; a number is one in quotes / 不是文本",
        ),
        (("codes:", "kodes:"), r"tables\.psn_cert_type\.codes: is missing"),
        (('version: "2024.1"', ""), "version"),
        ((_FILE, ""), "holds no settings"),
        (("codes:", "codes: 5\n    kodes:"), "valid list / 取值不符合要求"),
        (("tables:", "tables: [x]\nothers:"), "valid dictionary / 取值不符合要求"),
    ],
)
def test_a_table_that_contradicts_itself_does_not_load(tmp_path: Path, change: tuple[str, str], problem: str) -> None:
    with pytest.raises(OneCardError, match=problem) as refused:
        _tables(tmp_path, _FILE.replace(*change, 1))
    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID


def test_a_missing_table_or_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(OneCardError, match="no table insutype / "):
        _tables(tmp_path)["insutype"]
    with pytest.raises(OneCardError, match=r"absent\.yaml"):
        CodeTables.load(tmp_path / "absent.yaml")


def test_all_that_is_wrong_is_told_at_once_in_both_languages(tmp_path: Path) -> None:
    text = (
        _FILE
        + """      - {national: 7}
      - {national: "90", local: ["1", "1"]}
  gend:
    system: nhsa.gend
    codes: [{national: "1", local: "1"}, x]
"""
    )

    with pytest.raises(OneCardError) as refused:
        _tables(tmp_path, text)

    assert refused.value.detail.endswith("codes.yaml are not valid / 代码表有误")
    told = dict(refused.value.violations)
    assert told.pop("tables.psn_cert_type.codes.2.national").endswith("/ 不是文本；数字须加引号")
    assert told.pop("tables.gend.system_version") == "is missing / 缺失"
    assert told.pop("tables.gend.codes.0.local").endswith("/ 取值不符合要求")
    assert told.pop("tables.gend.codes.1") == "holds no settings / 没有配置项"
    assert told == {"tables.psn_cert_type.codes.3": "local code '1' stands twice / 本地代码 '1' 重复"}
    assert ("tables.psn_cert_type.codes.3", "national code '90' stands twice / 国家代码 '90' 重复") in (
        refused.value.violations
    )


def test_of_very_many_the_rest_is_counted(tmp_path: Path) -> None:
    with pytest.raises(OneCardError) as refused:
        _tables(tmp_path, _FILE + "".join(f"      - {{national: {code}}}\n" for code in range(100, 200)))

    assert len(refused.value.violations) == 51
    assert refused.value.violations[-1] == ("more of them / 其余", "50")


def test_all_tables_that_are_missing_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(OneCardError, match=r"no table gend, naty / 代码表 2024\.1 缺少：gend, naty"):
        _tables(tmp_path).require(["psn_cert_type", "gend", "naty"])
