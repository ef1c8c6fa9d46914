"""Code tables: a local code to a national (system, version, code) and back, fail-closed both ways.

Owns loading and checking of the versioned YAML files. A code that stands in no table is UNMAPPED_CODE with path, table
and version, never a blank and never passed on as it is: the same digits mean other things elsewhere (domain.md 0.1).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard.exchange.v1.values_pb2 import CodedValue
from onecard_protocol.errors import OneCardError, Violation
from onecard_protocol.settings_file import read_settings, violations_of

# A longer "code" may be a personal number that a client put into the wrong field: errors do not show it.
_SHOWN_CHARACTERS_MAX = 8
# What is wrong in one file, told at once.
_TOLD_COUNT_MAX = 50
_SIDES: Final = {"national": "国家", "local": "本地"}


class _EntryModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    national: str = Field(min_length=1)
    # The first is written; the others are understood as well.
    local: list[str] | None = None
    name: str = ""
    attributes: dict[str, str] = {}


class _TableModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    system: str = Field(min_length=1)
    system_version: str = Field(min_length=1)
    codes: list[_EntryModel] = Field(min_length=1)


class _FileModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    version: str = Field(min_length=1)
    tables: dict[str, _TableModel] = Field(min_length=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeEntry:
    """One national code and the local codes that mean it; the first local code is the one written."""

    national: str
    local: tuple[str, ...]
    name: str
    # The triple of the national code. It is shared: copy it, never change it.
    coded: CodedValue
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTable:
    """One table of one version."""

    name: str
    version: str
    system: str
    system_version: str
    by_local: Mapping[str, CodeEntry]
    by_national: Mapping[str, CodeEntry]

    def to_national(self, local: str, path: str) -> CodedValue:
        """The national code of a local one; UNMAPPED_CODE if there is none."""
        return _copy(self.local_entry(local, path).coded)

    def local_entry(self, local: str, path: str) -> CodeEntry:
        """The entry of a local code; UNMAPPED_CODE if there is none."""
        entry = self.by_local.get(local)
        if entry is None:
            raise self._unmapped(path, local, "local")
        return entry

    def to_local(self, coded: CodedValue, path: str) -> str:
        """The local code that is written for a national one; UNMAPPED_CODE for another system, version or code."""
        return self.entry(coded, path).local[0]

    def entry(self, coded: CodedValue, path: str) -> CodeEntry:
        """The entry of a national code, for its attributes; UNMAPPED_CODE for another system, version or code."""
        if coded.system != self.system or coded.version != self.system_version:
            raise OneCardError(
                ErrorReason.ERROR_REASON_UNMAPPED_CODE,
                f"{path}: the code is of system {coded.system!r} version {coded.version!r}, table {self.name} "
                f"version {self.version} holds {self.system!r} version {self.system_version!r}",
            )
        entry = self.by_national.get(coded.code)
        if entry is None:
            raise self._unmapped(path, coded.code, "national")
        return entry

    def coded(self, national: str) -> CodedValue:
        """A national code of this table as the triple."""
        return _copy(self.by_national[national].coded)

    def _unmapped(self, path: str, code: str, side: str) -> OneCardError:
        shown = repr(code) if len(code) <= _SHOWN_CHARACTERS_MAX else f"of {len(code)} characters"
        return OneCardError(
            ErrorReason.ERROR_REASON_UNMAPPED_CODE,
            f"{path}: {side} code {shown} is not in table {self.name} version {self.version}",
        )


class CodeTables:
    """All tables of one versioned file."""

    def __init__(self, version: str, tables: Mapping[str, CodeTable]) -> None:
        self.version = version
        self._tables = dict(tables)

    def __getitem__(self, name: str) -> CodeTable:
        if name not in self._tables:
            self.require([name])
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def require(self, names: Iterable[str]) -> None:
        """Raise CONFIGURATION_INVALID that names all of these tables that are missing."""
        missing = ", ".join(name for name in names if name not in self._tables)
        if missing:
            raise OneCardError(
                ErrorReason.ERROR_REASON_CONFIGURATION_INVALID,
                f"code tables {self.version} have no table {missing} / 代码表 {self.version} 缺少：{missing}",
            )

    @classmethod
    def load(cls, path: Path) -> "CodeTables":
        """Read and check one YAML file; CONFIGURATION_INVALID names the file and all that is wrong in it, by place."""
        content = read_settings(path)
        wrong = list(_twice(content))
        try:
            model = _FileModel.model_validate(content)
        except ValidationError as error:
            wrong = [*violations_of(_FileModel, error), *wrong]
        if wrong:
            if (more := len(wrong) - _TOLD_COUNT_MAX) > 0:  # A column of unquoted codes is wrong in each line.
                wrong[_TOLD_COUNT_MAX:] = [("more of them / 其余", str(more))]
            raise OneCardError(
                ErrorReason.ERROR_REASON_CONFIGURATION_INVALID,
                f"code tables {path} are not valid / 代码表有误",
                violations=wrong,
            )
        return cls(model.version, {name: _table(name, model.version, t) for name, t in model.tables.items()})


def _copy(coded: CodedValue) -> CodedValue:
    copy = CodedValue()
    copy.CopyFrom(coded)
    return copy


def _table(name: str, version: str, model: _TableModel) -> CodeTable:
    by_local: dict[str, CodeEntry] = {}
    by_national: dict[str, CodeEntry] = {}
    for item in model.codes:
        entry = CodeEntry(
            national=item.national,
            local=tuple(item.local or [item.national]),
            name=item.name,
            coded=CodedValue(system=model.system, version=model.system_version, code=item.national),
            attributes=dict(item.attributes),
        )
        by_national[entry.national] = entry
        by_local.update(dict.fromkeys(entry.local, entry))
    return CodeTable(
        name=name,
        version=version,
        system=model.system,
        system_version=model.system_version,
        by_local=by_local,
        by_national=by_national,
    )


def _twice(content: Mapping[str, Any]) -> Iterator[Violation]:
    """The codes that stand twice in a table, wherever its form lets them be seen: form is checked beside."""
    tables = content.get("tables")
    for name, table in tables.items() if isinstance(tables, dict) else ():
        items = table.get("codes") if isinstance(table, dict) else None
        seen: set[tuple[str, object]] = set()
        for index, item in enumerate(items if isinstance(items, list) else ()):
            national = item.get("national") if isinstance(item, dict) else None
            local = item.get("local") or [national] if isinstance(item, dict) else []
            codes = [("national", national), *(("local", code) for code in (local if isinstance(local, list) else ()))]
            for side, code in codes:
                if isinstance(code, str) and (side, code) in seen:
                    words = f"{side} code {code!r} stands twice / {_SIDES[side]}代码 {code!r} 重复"
                    yield f"tables.{name}.codes.{index}", words
                elif isinstance(code, str):
                    seen.add((side, code))
