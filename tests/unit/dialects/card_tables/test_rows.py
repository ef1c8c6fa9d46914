"""Rows become cards by declared columns and codes, or are refused with row, column, table and version."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from onecard.card.v1 import change_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.port import LocalCard
from onecard_adapters.dialects.card_tables.rows import RowMapping
from onecard_protocol.errors import OneCardError
from tests.support.card_tables import CIPHER, PERSON, card_settings

ROW: dict[str, Any] = {
    "aaz502": 1,
    "aac018": 75,
    "aae400": None,
    "aaz161": "20240315",
    "aaz162": "20340315",
    "del_flag": "0",
    "status_aac002": PERSON,
    "aae036": datetime.datetime.fromisoformat("2024-03-15T10:06:00"),
    "aaz500": "A99000080",
    "ykz509": 2,
    "ykz510": "A99000080",
    "ykz511": 1,
    "aca015": "1",
    "aca017": "4",
    "aae008": "102",
    "aae010": "6217000000000000004",
    "aac002": PERSON,
    "aac003": "周小测",
    "aac004": "2",
    "aac005": None,
    "aac006": datetime.date(1962, 1, 1),
    "aac007": PERSON,
    "aac058": "01",
    "aac161": "CHN",
    "aab301": "110101",
}


def read(tmp_path: Path, *, encrypted: tuple[str, ...] = (), **changes: Any) -> LocalCard | None:
    settings = card_settings(tmp_path, "sqlite://", database={"encrypted": encrypted})
    return RowMapping(settings, "cn-11").card(770_002, ROW | changes)


def card(tmp_path: Path, **changes: Any) -> LocalCard:
    found = read(tmp_path, **changes)
    assert found is not None
    return found


def test_the_samples_new_card_in_national_terms(tmp_path: Path) -> None:
    found = card(tmp_path)
    assert (found.person.number, found.person.HasField("kind")) == (PERSON, False)
    assert found.card == values_pb2.CardReference(issuer="cn-11", number="A99000080", sequence=2)
    assert found.replaces == values_pb2.CardReference(issuer="cn-11", number="A99000080", sequence=1)
    assert (found.state, found.change) == (values_pb2.SOCIAL_STATE_ACTIVE, change_pb2.SOCIAL_CHANGE_UNSPECIFIED)
    assert found.occurred_ms == 1_710_468_360_000  # 10:06 in China
    assert (found.local_status.system, found.local_status.code) == ("cn-11.aaz502", "1")
    assert (found.data.bank, found.data.bank_card_number) == ("bank-102", "6217000000000000004")
    assert (found.data.generation, found.data.is_contactless) == (3, True)
    assert (found.data.production_kind.code, found.data.production_way.code) == ("4", "1")
    assert (found.data.expiry_day.year, found.data.residence_area) == (2034, "110101")
    assert (found.holder.name, found.holder.sex.code, found.holder.nationality.code) == ("周小测", "2", "CHN")
    assert (found.holder.birth_day.year, found.holder.HasField("ethnicity")) == (1962, False)


def test_a_foreigner_is_the_certificate_and_the_card_shows_the_social_security_number(tmp_path: Path) -> None:
    found = card(tmp_path, aac058="8", aac002="E1234567", status_aac002="E1234567", aac161="DEU")
    assert (found.person.kind.system, found.person.kind.code) == ("nhsa.psn_cert_type", "08")
    assert (found.person.number, found.holder.social_security_number) == ("E1234567", PERSON)
    assert found.holder.nationality.code == "DEU"


def test_a_card_issued_before_the_third_generation_is_of_the_second(tmp_path: Path) -> None:
    found = card(tmp_path, aaz161="20150301")
    assert (found.data.generation, found.data.is_contactless) == (2, False)


@pytest.mark.parametrize("written", ["11010519491231002x", "11010519491231002X", "110105491231002"])
def test_a_number_that_two_tables_write_in_two_ways_is_one_person(tmp_path: Path, written: str) -> None:
    found = card(tmp_path, status_aac002=written, aac002="11010519491231002X")
    assert found.person.number == "11010519491231002X"


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (0, "PRODUCED"),
        (1, "ACTIVE"),
        (2, "LOST"),
        (3, "LOCKED"),
        (4, "TEMPORARILY_LOST"),
        (6, "CANCELLED"),
        (9, "CANCELLED"),
    ],
)
def test_every_status_of_the_layout_has_its_state(tmp_path: Path, code: int, state: str) -> None:
    assert card(tmp_path, aaz502=code).state == values_pb2.SocialState.Value(f"SOCIAL_STATE_{state}")


def test_a_card_that_ended_by_its_successor_is_superseded(tmp_path: Path) -> None:
    assert card(tmp_path, aaz502=9, aae400="新卡启用，原卡失效").state == values_pb2.SOCIAL_STATE_SUPERSEDED
    assert card(tmp_path, aaz502=9, aae400="死亡").state == values_pb2.SOCIAL_STATE_CANCELLED


@pytest.mark.parametrize("process", [5, 22, 30, 70, 115, 130])
def test_a_process_before_the_card_or_one_that_failed_is_no_card(tmp_path: Path, process: int) -> None:
    assert read(tmp_path, aac018=process, aaz500=None) is None


@pytest.mark.parametrize(
    ("changes", "reason", "said"),
    [
        ({"aaz502": 5}, "UNMAPPED_CODE", "card_status[770002].aaz502: local code '5' is not in table social_state"),
        ({"aac018": 77}, "UNMAPPED_CODE", "card_status[770002].aac018: local code '77' is not in table aac018"),
        ({"aca017": "8"}, "UNMAPPED_CODE", "card_status[770002].aca017: local code '8' is not in table aca017"),
        ({"aae008": "999"}, "UNMAPPED_CODE", "card_status[770002].aae008: local code '999' is not in table bank"),
        ({"aaz500": None}, "LOCAL_FORM_INVALID", "card_status[770002].aaz500: missing"),
        ({"aac002": None}, "LOCAL_FORM_INVALID", "card_status[770002].aac002: missing"),
        ({"status_aac002": "X"}, "LOCAL_FORM_INVALID", "card_status[770002].aac002: not the number of the person"),
        ({"aaz162": "长期"}, "LOCAL_FORM_INVALID", "card_status[770002].aaz162: not a day"),
        ({"del_flag": "1"}, "LOCAL_FORM_INVALID", "card_status[770002].del_flag: the row is deleted"),
        ({"encrypted": ("aac003",)}, "LOCAL_FORM_INVALID", "card_status[770002].aac003: not encrypted by the key"),
    ],
)
def test_what_cannot_be_mapped_is_named_and_never_guessed(
    tmp_path: Path, changes: dict[str, Any], reason: str, said: str
) -> None:
    with pytest.raises(OneCardError) as refused:
        read(tmp_path, **changes)
    assert errors_pb2.ErrorReason.Name(refused.value.reason) == f"ERROR_REASON_{reason}"
    assert refused.value.detail.startswith(said)
    assert PERSON not in str(refused.value)


def test_columns_are_opened_and_made_by_the_key() -> None:
    for text in ("陈㼆", PERSON, "", "0123456789abcdef"):
        assert CIPHER.decrypt(CIPHER.encrypt(text), "x") == text
    # The vector of GM/T 0002: its key and block, whose padding is a block more.
    other = type(CIPHER)(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"))
    assert other._cipher.encryptor().update(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")).hex() == (
        "681edf34d206965e86b3e94f536e4246"
    )


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([{"national": "MADE", "local": ["1"]}], "NO_CARD"),
        ([{"national": "MADE", "local": ["1"]}, {"national": "NO_CARD", "local": ["失败"]}], "失败"),
    ],
)
def test_a_table_of_processes_that_is_incomplete_is_refused(tmp_path: Path, codes: list[Any], said: str) -> None:
    settings = card_settings(tmp_path, "sqlite://")
    content = yaml.safe_load(settings.code_tables.read_text(encoding="utf-8"))
    content["tables"]["aac018"]["codes"] = codes
    file = tmp_path / "codes.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    with pytest.raises(OneCardError, match=said):
        card_settings(tmp_path, "sqlite://", code_tables=file).tables()
