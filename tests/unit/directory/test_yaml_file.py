"""The directory file: its form, and errors that name line and field in both languages."""

from __future__ import annotations

import pytest

from onecard_broker.directory.yaml_file import parse_directory_file
from onecard_protocol.errors import OneCardError
from tests.support.directories import new_signer

PUBLIC_KEY = new_signer("any").public_key.hex()

OTHER_END = "01" if PUBLIC_KEY.endswith("00") else "00"
GOOD = f"""\
network: test-unit
participants:
  cn-44:
    name_zh: 广东
    name_en: Guangdong
    certificate_names: [cn-44.onecard.test]
    may_send: [/onecard.medical.v1.*]
    may_receive: [/onecard.medical.v1.SettlementService/Settle]
    maintenance: {{start: 2026-01-01T00:00:00+08:00, end: 2026-01-01T02:00:00+08:00}}
    keys:
      - id: cn-44-1
        public_key: {PUBLIC_KEY}
        not_before: 2026-01-01T00:00:00+08:00
        not_after: 2027-01-01T00:00:00+08:00
"""


def refusal_of(text: str) -> str:
    with pytest.raises(OneCardError) as raised:
        parse_directory_file(text)
    return str(raised.value)


def test_a_good_file_is_read() -> None:
    file = parse_directory_file(GOOD)

    assert file.participants["cn-44"].keys[0].id == "cn-44-1"
    assert file.participants["cn-44"].name_zh == "广东"


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ("cn-44:", "cn-99:", "line 3, participants.cn-99", "no participant"),
        ("name_zh: 广东", "nmae_zh: 广东", "line 4, participants.cn-44.nmae_zh", "没有这一项"),
        ("name_zh: 广东", "nmae_zh: 广东", "line 3, participants.cn-44.name_zh", "缺少此项"),
        ("/onecard.medical.v1.*", "'*'", "line 7, participants.cn-44.may_send.0", "no method"),
        (PUBLIC_KEY, PUBLIC_KEY[:-2] + OTHER_END, "line 12, participants.cn-44.keys.0.public_key", "不是 SM2 公钥"),
        ("not_before: 2026-01-01T00:00:00+08:00", "not_before: 2026-01-01T00:00:00", "line 13", "时区"),
        ("not_after: 2027", "not_after: 2025", "line 11, participants.cn-44.keys.0", "失效时间须晚于生效时间"),
        ("end: 2026-01-01T02", "end: 2025-01-01T02", "line 9", "结束时间须晚于开始时间"),
        ("network: test-unit", "network: Test", "line 1, network", "不是网络名称"),
        ("certificate_names: [cn-44.onecard.test]", "certificate_names: [a_b]", "line 6", "DNS"),
        ("id: cn-44-1", "id: 'a b'", "line 11, participants.cn-44.keys.0.id", "letters"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_field(old: str, new: str, place: str, what: str) -> None:
    assert old in GOOD

    refusal = refusal_of(GOOD.replace(old, new, 1))

    assert place in refusal
    assert what in refusal


@pytest.mark.parametrize(
    ("addition", "what"),
    [
        (
            (
                f"      - {{id: cn-44-1, public_key: {new_signer('x').public_key.hex()},"
                " not_before: 2026-01-01T00:00:00Z, not_after: 2027-01-01T00:00:00Z}\n"
            ),
            "key id stands there twice",
        ),
        (
            (
                f"      - {{id: cn-44-2, public_key: {PUBLIC_KEY}, not_before: 2026-01-01T00:00:00Z,"
                " not_after: 2027-01-01T00:00:00Z}\n"
            ),
            "under two ids",
        ),
        ("  cn-51: {name_zh: 四川, name_en: Sichuan, certificate_names: [cn-44.onecard.test]}\n", "two participants"),
    ],
)
def test_what_must_be_unique_is_refused_twice(addition: str, what: str) -> None:
    assert what in refusal_of(GOOD + addition)


def test_a_name_that_stands_there_twice_is_refused() -> None:
    refusal = refusal_of(GOOD + "  cn-44: {name_zh: 粤, name_en: Yue}\n")

    assert "line 15, cn-44" in refusal
    assert "重复出现" in refusal


@pytest.mark.parametrize("text", ["", "[]", "a: [", "\t", "x: &a [*a]", "[" * 5_000])
def test_what_is_no_directory_file_is_refused(text: str) -> None:
    assert refusal_of(text).startswith("CONFIGURATION_INVALID")


def test_a_huge_file_is_refused() -> None:
    assert "larger" in refusal_of("#" * 5_000_000)
