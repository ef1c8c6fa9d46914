"""The reviewed YAML file that the directory is imported from: its form, and errors that name line and field.

Owns the file's form. What differs from the present directory is the business of `differences`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import yaml
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from onecard.exchange.v1 import errors_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, Violation
from onecard_protocol.identifiers import PROVINCES, is_network, is_participant
from onecard_protocol.signatures.curve import check_public_key
from onecard_protocol.yaml_text import read_yaml

FILE_BYTES_MAX: Final = 4 * 1_024 * 1_024
_VIOLATIONS_SHOWN_MAX: Final = 20

_METHOD: Final = re.compile(r"/onecard(\.[a-z0-9_]+)+\.v[0-9]+\.(\*|[A-Za-z0-9]+Service/[A-Za-z0-9]+)")
_PACKAGE: Final = re.compile(r"onecard(\.[a-z0-9_]+)+\.v[0-9]+")
_KEY_ID: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{limits.KEY_ID_CHARACTERS_MAX}}}")
_DNS_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")

_CHINESE: Final = {
    "missing": "缺少此项",
    "extra_forbidden": "没有这一项",
    "timezone_aware": "时间须带时区，例如 2026-01-01T00:00:00+08:00",
    "string_too_short": "不能为空",
}
_CHINESE_OTHER: Final = "取值不合法"


def _wrong(english: str, chinese: str) -> PydanticCustomError:
    # The texts are fixed; a value never stands in them.
    return PydanticCustomError("onecard", "{english} / {chinese}", {"english": english, "chinese": chinese})


def _matching(is_right: Callable[[str], object], english: str, chinese: str) -> AfterValidator:
    def check(text: str) -> str:
        if not is_right(text):
            raise _wrong(english, chinese)
        return text

    return AfterValidator(check)


def _public_key(text: str) -> str:
    try:
        check_public_key(bytes.fromhex(text))
    except ValueError:
        raise _wrong(
            "is no SM2 public key: 130 hex digits, 04 and a point of the curve",
            "不是 SM2 公钥：应为 130 位十六进制，以 04 开头且在曲线上",
        ) from None
    return text.lower()


NetworkName = Annotated[str, _matching(is_network, "is no network's name (production or test-…)", "不是网络名称")]
ParticipantName = Annotated[
    str,
    _matching(
        is_participant,
        "is no participant (cn-00, cn-11 … cn-66, bank-102 …)",
        "不是参与方编号（cn-00、cn-11 … cn-66、bank-102 …）",
    ),
]
ProvinceName = Annotated[
    str, _matching(PROVINCES.__contains__, "is no province (cn-11 … cn-66)", "不是省份编号（cn-11 … cn-66）")
]
Package = Annotated[
    str, _matching(_PACKAGE.fullmatch, "is no package like onecard.card.v1", "不是业务包名，如 onecard.card.v1")
]
MethodPattern = Annotated[
    str,
    _matching(
        _METHOD.fullmatch, "is no method and no package like /onecard.medical.v1.*", "不是方法名，也不是包名形式"
    ),
]
KeyId = Annotated[str, _matching(_KEY_ID.fullmatch, "may hold letters, digits, . _ - only", "只能含字母、数字和 . _ -")]
DnsName = Annotated[str, _matching(_DNS_NAME.fullmatch, "is no DNS name in lower case", "不是小写的 DNS 名称")]
PublicKey = Annotated[str, AfterValidator(_public_key)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RevocationEntry(_Form):
    """The end of a key before its time."""

    at: AwareDatetime
    cause: Annotated[str, Field(min_length=1, max_length=200)]


class KeyEntry(_Form):
    """A key and its validity: from not_before, until not_after."""

    id: KeyId
    public_key: PublicKey
    not_before: AwareDatetime
    not_after: AwareDatetime
    revoked: RevocationEntry | None = None

    @model_validator(mode="after")
    def _check_order(self) -> KeyEntry:
        if self.not_before >= self.not_after:
            raise _wrong("not_after must lie behind not_before", "失效时间须晚于生效时间")
        return self


class MaintenanceEntry(_Form):
    """A time in which a participant takes no requests."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _check_order(self) -> MaintenanceEntry:
        if self.start >= self.end:
            raise _wrong("end must lie behind start", "结束时间须晚于开始时间")
        return self


class FeedEntry(_Form):
    """A share of a package's published events."""

    package: Package
    everything: bool = False
    residents_of: list[ProvinceName] = []

    @model_validator(mode="after")
    def _check_content(self) -> FeedEntry:
        if self.everything == bool(self.residents_of):
            raise _wrong("takes everything, or names provinces", "须为全部（everything）或列出省份，二者取一")
        return self


class ParticipantEntry(_Form):
    """A participant, what it may do, and its keys."""

    name_zh: Annotated[str, Field(min_length=1, max_length=60)]
    name_en: Annotated[str, Field(min_length=1, max_length=60)]
    certificate_names: list[DnsName] = []
    may_send: list[MethodPattern] = []
    may_receive: list[MethodPattern] = []
    maintenance: MaintenanceEntry | None = None
    feeds: list[FeedEntry] = []
    keys: list[KeyEntry] = []

    @model_validator(mode="after")
    def _check_feeds(self) -> ParticipantEntry:
        packages = [feed.package for feed in self.feeds]
        if len(set(packages)) != len(packages):
            raise _wrong("two feeds are of the same package", "同一业务包有两项订阅")
        return self


class DirectoryFile(_Form):
    """The whole file: what it does not name has no rights."""

    network: NetworkName
    participants: dict[ParticipantName, ParticipantEntry]

    @model_validator(mode="after")
    def _check_uniqueness(self) -> DirectoryFile:
        key_ids = [key.id for entry in self.participants.values() for key in entry.keys]
        public_keys = [key.public_key for entry in self.participants.values() for key in entry.keys]
        names = [name for entry in self.participants.values() for name in set(entry.certificate_names)]
        for values, english, chinese in (
            (key_ids, "a key id stands there twice", "密钥编号重复"),
            (public_keys, "a public key stands there under two ids", "同一公钥对应两个编号"),
            (names, "a certificate name belongs to two participants", "证书名称属于两个参与方"),
        ):
            if len(set(values)) != len(values):
                raise _wrong(english, chinese)
        return self


def parse_directory_file(text: str) -> DirectoryFile:
    """The content of a directory file.

    Raises OneCardError CONFIGURATION_INVALID whose violations are ("line 12, participants.cn-44.keys.0.id", what is
    wrong in English / in Chinese).
    """
    if len(text.encode()) > FILE_BYTES_MAX:
        raise _invalid([("file", f"is larger than {FILE_BYTES_MAX} bytes / 文件过大")])
    root, content = read_yaml(text, "the directory file")
    try:
        return DirectoryFile.model_validate(content)
    except ValidationError as error:
        raise _invalid(
            [
                (_place(root, detail["loc"]), _description(detail["type"], detail["msg"]))
                for detail in error.errors(include_url=False, include_input=False, include_context=False)
            ]
        ) from None


def _invalid(violations: Sequence[Violation]) -> OneCardError:
    return OneCardError(
        errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
        "the directory file cannot be used / 目录文件不可用",
        violations=violations[:_VIOLATIONS_SHOWN_MAX],
    )


def _description(kind: str, message: str) -> str:
    return message if kind == "onecard" else f"{message} / {_CHINESE.get(kind, _CHINESE_OTHER)}"


def _place(root: yaml.Node | None, location: tuple[int | str, ...]) -> str:
    """Line and path of a value; the line of the nearest node that exists."""
    node, line = root, 1 if root is None else root.start_mark.line + 1
    for step in location:
        following: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == str(step):
                    following, line = value, name.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            following = node.value[step]
            line = following.start_mark.line + 1
        node = following
    path = ".".join(str(step) for step in location if step != "[key]")
    return f"line {line}, {path}" if path else f"line {line}"
