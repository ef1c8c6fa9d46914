"""`onecard adapter check`: what a profile lacks is found before anything is started."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from onecard_adapters.profiles import models
from onecard_adapters.profiles.checking import needed_tables
from onecard_protocol import cli
from onecard_protocol.explained import ExitCode
from tests.support.country import Finished

PROFILES = Path(models.__file__).parent
DIALECTS = {"infno": "nhsa-infno.yaml", "cross-region-xml": "cross-region-xml.yaml"}
SHIPPED = {
    "bank-102.yaml": [["bank"]],
    "cn-11.yaml": [["card"]],
    "cn-44.yaml": [["care", "insured"], ["card"]],
    "cn-45.yaml": [["card"]],
    "cn-51.yaml": [["care", "insured"], ["card"]],
}
"""Every profile that comes with the program, with the roles of its mappings."""
Check = Callable[..., Finished]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Check:
    """The command as the program runs it, in this process."""

    def run(file: Path, *options: str, locale: str = "C") -> Finished:
        monkeypatch.setenv("COLUMNS", "240")
        monkeypatch.setenv("LC_ALL", locale)
        with pytest.raises(SystemExit) as ended:
            cli.main(["adapter", "check", str(file), *options])
        printed = capsys.readouterr()
        return Finished(code=int(ended.value.code or 0), output=printed.out, errors=printed.err)

    return run


class Copy:
    """Guangdong's profile with its code tables in a folder, to be spoilt."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "cn-44.yaml"
        self.profile: dict[str, Any] = yaml.safe_load((PROFILES / "cn-44.yaml").read_text(encoding="utf-8"))
        codes = (PROFILES / "codes" / "nhsa-infno.yaml").read_text(encoding="utf-8")
        self.tables: dict[str, Any] = yaml.safe_load(codes)
        (folder / "codes").mkdir()
        self.card_tables: dict[str, Any] = yaml.safe_load(
            (PROFILES / "codes" / "infno-card.yaml").read_text(encoding="utf-8")
        )

    def write(self) -> Path:
        codes = self.file.parent / "codes"
        for file, content in (
            (self.file, self.profile),
            (codes / "nhsa-infno.yaml", self.tables),
            (codes / "infno-card.yaml", self.card_tables),
        ):
            file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        return self.file

    def codes(self, table: str) -> list[dict[str, Any]]:
        codes: list[dict[str, Any]] = self.tables["tables"][table]["codes"]
        return codes


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_every_profile_that_comes_with_the_program_is_named_here() -> None:
    assert {file.name for file in PROFILES.glob("*.yaml")} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_profiles_that_come_with_the_program_are_right(check: Check, name: str) -> None:
    shown, told = check(PROFILES / name), check(PROFILES / name, "--json").json()

    assert shown.code == ExitCode.DONE
    (profile,) = told["profiles"]
    assert (f"{profile['province']}.yaml", profile["wrong_count"]) == (name, 0)
    assert [mapping["roles"] for mapping in profile["mappings"]] == SHIPPED[name]
    for mapping in profile["mappings"]:
        assert all(table["national_count"] and table["local_count"] for table in mapping["tables"])
        assert {"social_state", "financial_state", "insutype"} & {table["name"] for table in mapping["tables"]}


@pytest.mark.parametrize("name", ["cn-44.yaml", "cn-51.yaml"])
def test_every_table_of_medical_care_is_shown_with_its_codes(check: Check, name: str) -> None:
    shown, told = check(PROFILES / name), check(PROFILES / name, "--json").json()

    assert "Recovery after a crash, as declared: " in shown.output
    assert "psn_cert_type" in shown.output
    (profile,) = told["profiles"]
    tables = {table["name"]: table for table in profile["mappings"][0]["tables"]}
    assert list(tables) == needed_tables(profile["mappings"][0]["dialect"])
    assert tables["naty"]["national_count"] == 59
    assert tables["psn_cert_type"]["ambiguous"] == {"01": ["01", "1"]}


def test_states_that_an_office_could_not_be_told_or_that_no_protocol_has_are_named(check: Check, copy: Copy) -> None:
    states = copy.card_tables["tables"]["social_state"]["codes"]
    states[:] = [entry for entry in states if entry["national"] != "SUPERSEDED"]
    states.append({"national": "MISLAID", "local": ["Z"]})
    copy.card_tables["tables"]["replacement_step"]["codes"].pop()

    told = check(copy.write(), "--json")

    assert told.code == ExitCode.FOUND_WRONG
    (_, cards) = told.json()["profiles"][0]["mappings"]
    wrong = {table["name"]: table["wrong"] for table in cards["tables"] if table["wrong"]}
    assert wrong == {
        "social_state": [
            "codes that are not of the protocol: MISLAID",
            "national codes without a local one: SUPERSEDED",
        ],
        "replacement_step": ["national codes without a local one: BENEFIT_ACCOUNT_CHANGED"],
    }


def test_recovery_is_told_as_the_profile_declares_it(check: Check) -> None:
    told = [check(PROFILES / name, "--json").json() for name in ("cn-44.yaml", "cn-51.yaml")]

    assert [one["profiles"][0]["recovery"] for one in told] == [
        {"settlement": "query", "others": "repeat", "conclusive_after_ms": 10_000, "own_core": "repeat"},
        {"crash": "query-by-transid", "own_core": "repeat"},
    ]


def test_a_profile_that_says_nothing_of_recovery_is_refused(check: Check, copy: Copy) -> None:
    del copy.profile["insured"]["recovery"]

    ended = check(copy.write())

    assert ended.code == ExitCode.NOT_SET_UP
    assert "insured.recovery: is missing" in ended.errors


def test_codes_that_are_missing_on_either_side_are_named_and_the_exit_code_tells(check: Check, copy: Copy) -> None:
    copy.codes("gend").pop()
    copy.codes("insutype").append({"national": "777"})
    copy.tables["tables"]["psn_insu_stas"]["system"] = "mohrss.aac031"
    del copy.tables["tables"]["naty"]
    for entry in copy.codes("fund_pay_type"):
        entry.pop("attributes")
    file = copy.write()

    shown, told = check(file), check(file, "--json")
    in_chinese = check(file, locale="zh_CN.UTF-8")

    assert shown.code == told.code == in_chinese.code == ExitCode.FOUND_WRONG
    wrong = {table["name"]: table["wrong"] for table in told.json()["profiles"][0]["mappings"][0]["tables"]}
    assert wrong["gend"] == ["national codes without a local one: 9"]
    assert wrong["insutype"] == ["codes that no other province knows: 777"]
    assert wrong["psn_insu_stas"] == ["no other province knows the code system mohrss.aac031 1"]
    assert wrong["naty"] == ["the table is missing"]
    assert "code 310100 lacks its attribute counts_as" in wrong["fund_pay_type"]
    assert wrong["clr_way"] == []
    assert "national codes without a local one: 9" in shown.output
    assert "国家代码没有对应的本地代码：9" in in_chinese.output


def test_a_local_code_of_two_national_ones_is_refused_by_its_name(check: Check, copy: Copy) -> None:
    copy.codes("gend")[0]["local"] = ["1", "2"]

    ended = check(copy.write())

    assert ended.code == ExitCode.NOT_SET_UP
    assert "tables.gend.codes.1: local code '2' stands twice" in ended.errors


def configuration(folder: Path, *profiles: Path, participant: str = "cn-44") -> Path:
    file = folder / "adapter.yaml"
    content = {
        "participant": participant,
        "network": "test-x",
        "hub": {"gateways": ["127.0.0.1:1"], "keys": [{"key_id": "hub-1", "public_key": "04" + "ab" * 64}]},
        "signing_key": {"file": "key.json"},
        "store": {"file": "store.sqlite", "key_file": "store.key"},
        "profile_files": [str(profile) for profile in profiles],
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def test_a_configuration_is_checked_by_the_profiles_that_it_names(check: Check, tmp_path: Path) -> None:
    right = check(configuration(tmp_path, PROFILES / "cn-44.yaml"), "--json")
    foreign = check(configuration(tmp_path, PROFILES / "cn-44.yaml", participant="cn-51"))
    none = check(configuration(tmp_path))

    assert right.code == ExitCode.DONE
    assert [profile["province"] for profile in right.json()["profiles"]] == ["cn-44"]
    assert foreign.code == none.code == ExitCode.NOT_SET_UP
    assert "profiles of cn-44: this adapter signs as cn-51" in foreign.errors
    assert "names no profile_files" in none.errors


def test_what_is_no_profile_is_refused(check: Check, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [", encoding="utf-8")

    for file, says in ((broken, "is no YAML"), (tmp_path / "absent.yaml", "cannot be read")):
        ended = check(file)
        assert ended.code == ExitCode.NOT_SET_UP
        assert says in ended.errors


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_table_that_a_dialect_names_is_looked_at(dialect: str) -> None:
    sources = (PROFILES.parent / "dialects" / dialect.replace("-", "_")).glob("*.py")
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    named = set(re.findall(r'tables\["(\w+)"\]|\bcode\("(\w+)"\)|_TABLE = "(\w+)"', text))
    names = {name for groups in named for name in groups if name} - {"ascii", "gbk"}

    assert names == set(needed_tables(dialect))
