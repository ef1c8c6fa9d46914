"""Settings of this dialect in a profile, by role, under `dialect: cross-region-xml`."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl, StringConstraints, field_validator

from onecard.exchange.v1.errors_pb2 import ErrorReason
from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_adapters.dialects.infno.settings import Area, ListenSettings, ProfilePath, Strict
from onecard_adapters.dialects.infno.settings import InstitutionSettings as InfnoInstitutionSettings
from onecard_adapters.mapping.codes import CodeTables

ErrorCode = Annotated[int, Field(lt=0)]


class CoreSettings(Strict):
    """The province's core system, and what differs from one such core to the next."""

    url: HttpUrl
    """Where it is called, as one address for all trades."""
    operation: Operation
    """The sister operation that is written; both are always read."""
    refusals: dict[ErrorCode, str] = Field(default_factory=dict)
    """errorcodes with a meaning of the national catalogue, such as -31: FEE_MISMATCH; all others are
    REFUSED_BY_LOCAL_SYSTEM."""

    @field_validator("refusals")
    @classmethod
    def _reasons_are_known(cls, value: dict[int, str]) -> dict[int, str]:
        known = {item.name.removeprefix("ERROR_REASON_") for item in ErrorReason.DESCRIPTOR.values}
        unknown = sorted(set(value.values()) - known)
        if unknown:
            raise ValueError(f"no such reason in the catalogue: {', '.join(unknown)} / 错误目录中没有该原因")
        return value

    def reason_of(self, error_code: int) -> int:
        """The catalogue's reason of a local errorcode."""
        return ErrorReason.Value(f"ERROR_REASON_{self.refusals.get(error_code, 'REFUSED_BY_LOCAL_SYSTEM')}")


class CareCoreSettings(CoreSettings):
    """The province's core system, as the place of care calls it."""

    operator_code: Annotated[str, StringConstraints(min_length=1, max_length=20)]
    """aae011 of what the adapter sends."""
    duplicate_transid_codes: frozenset[ErrorCode] = frozenset()
    """errorcodes by which the core says that it has had this transid already: the outcome is then asked for."""


class InsuredCoreSettings(CareCoreSettings):
    """The province's core system, as the insured role calls it."""

    settlement_class: Annotated[str, StringConstraints(max_length=6)]
    """ykc675 of trial and settlement: 12 in the samples; no source tells more."""


class _RoleSettings(Strict):
    dialect: Literal["cross-region-xml"]
    code_tables: ProfilePath
    """The local codes of each code table, and what they are in the nation's."""
    area: Area
    """The province's own area, six digits; its first two tell own people from others."""

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load."""
        return CodeTables.load(self.code_tables)

    def is_own_area(self, area: str) -> bool:
        """Whether an area lies in the own province."""
        return area[:2] == self.area[:2]


class InstitutionSettings(InfnoInstitutionSettings):
    """A medical institution of the province."""

    code: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{1,32}$")]
    """akb026, as the hub admits it: of the national form (H or P, six digits, five), or older and longer, in which no
    area can be told from the rest."""


class CrossRegionXmlCareSettings(_RoleSettings):
    """Place of care: hospitals, and the core itself when it files outwards, call the adapter over SOAP."""

    core: CareCoreSettings
    listen: ListenSettings
    institutions: tuple[InstitutionSettings, ...] = Field(min_length=1)
    recovery: Literal["repeat"]
    """What the own core allows where its answer to a trade with effect is missing (rule 11): the same transid again,
    which it answers as before or with one of `duplicate_transid_codes`. A profile must say it; a core without it cannot
    be connected."""


class CrossRegionXmlInsuredSettings(_RoleSettings):
    """Insured role: the adapter calls the province's core over SOAP."""

    core: InsuredCoreSettings
    recovery: Literal["query-by-transid", "none"]
    """How the adapter learns after a crash what its last call did: by trade 0708, or not at all, so that a person
    decides (rule 11)."""
