"""What can be told of a profile without its province: the code tables in both directions, and the declared recovery.

The national side is the code tables of the national interface that come with this program (`codes/nhsa-infno.yaml`):
any of their codes may arrive from another province, and what leaves must be one of them. Which tables a dialect needs
is read from its field maps.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor

from onecard.card.v1 import replacement_pb2, values_pb2
from onecard_adapters.dialects.bank_accounts.wire import BANK_TABLES, FINANCIAL_STATE
from onecard_adapters.dialects.card_fields import HANDED_OUT, NEEDED_TABLES, NO_CARD, REPLACEMENT_STEP, SOCIAL_STATE
from onecard_adapters.dialects.card_tables.settings import PROCESS, CardTablesSettings
from onecard_adapters.dialects.cross_region_xml import forms
from onecard_adapters.dialects.infno import maps
from onecard_adapters.mapping.codes import CodeEntry, CodeTable, CodeTables
from onecard_adapters.mapping.fields import FieldMap
from onecard_adapters.profiles.models import BankSettings, CardSettings, Profile, load_profile
from onecard_protocol.explained import Text

NATIONAL_TABLES: Final = Path(__file__).parent / "codes" / "nhsa-infno.yaml"

_FIELD_MAPS: Final[Mapping[str, ModuleType]] = {"infno": maps, "cross-region-xml": forms}
_BESIDE_THE_MAPS: Final[Mapping[str, frozenset[str]]] = {"cross-region-xml": frozenset({"psn_cert_type"})}
"""Tables that a dialect reads where no field map stands: the person in the head of each trade."""


def _names(numbers: EnumDescriptor, prefix: str) -> frozenset[str]:
    return frozenset(value.name.removeprefix(prefix) for value in numbers.values if value.number)


_SOCIAL_STATES: Final = _names(values_pb2.SocialState.DESCRIPTOR, "SOCIAL_STATE_")
_PROTOCOL_CODES: Final[Mapping[str, frozenset[str]]] = {
    SOCIAL_STATE: _SOCIAL_STATES,
    HANDED_OUT: _SOCIAL_STATES,
    # A province is never asked for the enabling that began it.
    REPLACEMENT_STEP: _names(replacement_pb2.ReplacementStep.DESCRIPTOR, "REPLACEMENT_STEP_") - {"NEW_ENABLED"},
    FINANCIAL_STATE: _names(values_pb2.FinancialState.DESCRIPTOR, "FINANCIAL_STATE_"),
}
"""Tables whose national side are names of the protocol: states, and the steps that a province is asked for."""

_National = Mapping[tuple[str, str], Mapping[str, CodeEntry]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TableCheck:
    """One code table that a dialect needs."""

    name: str
    system: str = ""
    system_version: str = ""
    national_count: int = 0
    local_count: int = 0
    ambiguous: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """National codes that several local ones mean; the first is written, so no other comes back as it went."""
    wrong: tuple[Text, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MappingCheck:
    """The code tables of one or both roles."""

    roles: tuple[str, ...]
    dialect: str
    file: Path
    version: str
    tables: tuple[TableCheck, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProfileCheck:
    """One profile."""

    file: Path
    province: str
    """Participant, a bank too."""
    name: str
    recovery: Mapping[str, Any] | None
    """What the cores allow after a crash, as the profile declares it; None where it has neither role."""
    mappings: tuple[MappingCheck, ...]

    @property
    def wrong_count(self) -> int:
        """How many things are wrong."""
        return sum(len(table.wrong) for mapping in self.mappings for table in mapping.tables)


def check_profile(file: Path) -> ProfileCheck:
    """Load a profile and check its code tables.

    Raises OneCardError CONFIGURATION_INVALID where it does not load: a setting is missing or wrong, place of care or
    insured province declares no recovery (rule 11), or a code table contradicts itself, such as one local code for two
    national ones.
    """
    profile = load_profile(file)
    roles: dict[tuple[str, Path], list[str]] = defaultdict(list)
    for name, role in (("care", profile.care), ("insured", profile.insured)):
        if role is not None:
            roles[role.dialect, role.code_tables].append(name)
    national = _national_codes()
    issuers = [(name, role) for name, role in (("card", profile.card), ("bank", profile.bank)) if role is not None]
    return ProfileCheck(
        file=file,
        province=profile.participant,
        name=profile.name,
        recovery=_recovery(profile),
        mappings=(
            *(_check_mapping(tuple(names), dialect, tables, national) for (dialect, tables), names in roles.items()),
            *(_check_states(name, role) for name, role in issuers),
        ),
    )


def needed_tables(dialect: str) -> list[str]:
    """Names of the code tables that a dialect reads and writes by."""
    field_maps = [value for value in vars(_FIELD_MAPS[dialect]).values() if isinstance(value, FieldMap)]
    names = {rule.codec.table for field_map in field_maps for rule in field_map.rules if rule.codec.table}
    return sorted(names | _BESIDE_THE_MAPS.get(dialect, frozenset()))


def _recovery(profile: Profile) -> dict[str, Any] | None:
    declared: dict[str, Any] = {}
    if profile.insured is not None:
        recovery = profile.insured.recovery
        declared |= {"crash": recovery} if isinstance(recovery, str) else recovery.model_dump()
    if profile.care is not None:
        declared["own_core"] = profile.care.recovery
    return declared or None


def _national_codes() -> _National:
    """The entries of each national code system; one system may stand in several tables."""
    found: dict[tuple[str, str], dict[str, CodeEntry]] = defaultdict(dict)
    tables = CodeTables.load(NATIONAL_TABLES)
    for name in tables:
        table = tables[name]
        found[table.system, table.system_version] |= table.by_national
    return found


def _check_mapping(roles: tuple[str, ...], dialect: str, file: Path, national: _National) -> MappingCheck:
    tables = CodeTables.load(file)
    return MappingCheck(
        roles=roles,
        dialect=dialect,
        file=file,
        version=tables.version,
        tables=tuple(_check_table(name, tables, national) for name in needed_tables(dialect)),
    )


def _check_states(role: str, settings: CardSettings | BankSettings) -> MappingCheck:
    """The tables of a card office or a bank, whose national side are the states and steps of the protocol."""
    tables = settings.tables()
    names = BANK_TABLES if role == "bank" else NEEDED_TABLES
    if isinstance(settings, CardTablesSettings):
        names = (*names, PROCESS)
    return MappingCheck(
        roles=(role,),
        dialect=settings.dialect,
        file=settings.code_tables,
        version=tables.version,
        tables=tuple(
            TableCheck(
                name=name,
                system=tables[name].system,
                system_version=tables[name].system_version,
                national_count=len(tables[name].by_national),
                local_count=len(tables[name].by_local),
                ambiguous=_ambiguous(tables[name]),
                wrong=tuple(_wrong_states(tables[name], writes_all=getattr(settings, "keeps_copies", False))),
            )
            for name in names
        ),
    )


def _wrong_states(table: CodeTable, *, writes_all: bool) -> Iterator[Text]:
    """An office that keeps copies is told every state; any other one tells only those that it has."""
    known = _PROTOCOL_CODES.get(table.name)
    if known is None:
        return
    if foreign := sorted(set(table.by_national) - known - {NO_CARD}):
        codes = ", ".join(foreign)
        yield Text(en=f"codes that are not of the protocol: {codes}", zh=f"协议中没有的代码：{codes}")
    is_written = writes_all or table.name != SOCIAL_STATE
    if missing := sorted(known - set(table.by_national)) if is_written and table.name != HANDED_OUT else []:
        codes = ", ".join(missing)
        yield Text(en=f"national codes without a local one: {codes}", zh=f"国家代码没有对应的本地代码：{codes}")


def _ambiguous(table: CodeTable) -> dict[str, tuple[str, ...]]:
    return {code: entry.local for code, entry in table.by_national.items() if len(entry.local) > 1}


def _check_table(name: str, tables: CodeTables, national: _National) -> TableCheck:
    if name not in set(tables):
        return TableCheck(name=name, wrong=(Text(en="the table is missing", zh="缺少该表"),))
    table = tables[name]
    return TableCheck(
        name=name,
        system=table.system,
        system_version=table.system_version,
        national_count=len(table.by_national),
        local_count=len(table.by_local),
        ambiguous=_ambiguous(table),
        wrong=tuple(_wrongs(table, national)),
    )


def _wrongs(table: CodeTable, national: _National) -> Iterator[Text]:
    known = national.get((table.system, table.system_version))
    if known is None:
        system = f"{table.system} {table.system_version}"
        yield Text(en=f"no other province knows the code system {system}", zh=f"其他省份不识别代码体系 {system}")
        return
    if missing := [code for code in known if code not in table.by_national]:
        codes = ", ".join(missing)
        yield Text(en=f"national codes without a local one: {codes}", zh=f"国家代码没有对应的本地代码：{codes}")
    if foreign := [code for code in table.by_national if code not in known]:
        codes = ", ".join(foreign)
        yield Text(en=f"codes that no other province knows: {codes}", zh=f"其他省份不识别的代码：{codes}")
    for code, entry in table.by_national.items():
        lacking = set(known[code].attributes) - set(entry.attributes) if code in known else set()
        if lacking:
            names = ", ".join(sorted(lacking))
            yield Text(en=f"code {code} lacks its attribute {names}", zh=f"代码 {code} 缺少属性 {names}")
