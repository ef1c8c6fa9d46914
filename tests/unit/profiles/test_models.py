"""A profile says everything or is refused, with each wrong setting by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.infno.settings import InfnoCareSettings, InfnoInsuredSettings
from onecard_adapters.profiles import models
from onecard_protocol.errors import OneCardError

_GUANGDONG = Path(models.__file__).parent / "cn-44.yaml"


def _changed(tmp_path: Path, *path: str, value: Any = None) -> Path:
    """Guangdong's profile with one setting changed, or removed where no value is given."""
    content = yaml.safe_load(_GUANGDONG.read_text(encoding="utf-8"))
    for role in ("care", "insured"):
        content[role]["code_tables"] = str(_GUANGDONG.parent / content[role]["code_tables"])
    holder = content
    for name in path[:-1]:
        holder = holder[int(name) if name.isdigit() else name]
    if value is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    file = tmp_path / "profile.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return file


def test_the_profile_of_guangdong_loads_in_both_roles() -> None:
    profile = models.load_profile(_GUANGDONG)
    assert profile.province == "cn-44"
    assert isinstance(profile.care, InfnoCareSettings)
    assert isinstance(profile.insured, InfnoInsuredSettings)
    assert profile.care.tables().version == "nhsa-infno/2024.1"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("insured", "recovery"), None, "insured.recovery: is missing / 缺失"),
        (("insured", "recovery", "settlement"), None, "insured.recovery.settlement: is missing / 缺失"),
        (("insured", "recovery", "settlement"), "hope", "insured.recovery.settlement"),
        (("care", "recovery"), None, "care.recovery: is missing / 缺失"),
        (("care", "recovery"), "hope", "care.recovery"),
        (("care", "listen", "port"), 70_000, "care.listen.port: Input should be less than"),
        (("care", "institutions", "0", "name"), None, "care.institutions.0.name: is missing / 缺失"),
        (("care", "dialect"), "telegram", "care: Input tag 'telegram'"),
        (("care", "core", "url"), "nowhere", "care.core.url"),
        (("care", "institutions"), [], "care.institutions"),
        (
            ("care", "requires_sign_inn"),
            True,
            "care.requires_sign_inn: unknown setting; did you mean 'requires_sign_in'?",
        ),
        (("care", "area"), "510000", "areas outside cn-44: 510000"),
        (("care", "institutions", "0", "area"), "510100", "areas outside cn-44: 510100"),
        (("care", "institutions", "0", "code"), "H44010099901", "institutions that stand twice: H44010099901"),
        (("province",), "cn-99", "province 'cn-99' is no participant"),
        (("insured", "code_tables"), "absent.yaml", "absent.yaml"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(tmp_path: Path, path: tuple[str, ...], value: Any, said: str) -> None:
    with pytest.raises(OneCardError) as refused:
        models.load_profile(_changed(tmp_path, *path, value=value))
    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert said in str(refused.value)
    assert "profile.yaml" in str(refused.value) or "absent.yaml" in str(refused.value)


def test_a_profile_without_a_role_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text("province: cn-44\nname: 广东省\n", encoding="utf-8")
    with pytest.raises(OneCardError, match="serves nobody"):
        models.load_profile(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [("a: [", "is no YAML"), ("- list", "holds no settings"), ("", "profile.yaml holds no settings / 没有配置项")],
)
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(OneCardError, match=said):
        models.load_profile(file)
    with pytest.raises(OneCardError, match=r"cannot be read: No such file or directory / 无法读取$") as absent:
        models.load_profile(tmp_path / "absent.yaml")
    assert str(absent.value).count("absent.yaml") == 1
