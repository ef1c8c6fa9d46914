"""Settings of the infno dialect in a profile, by role."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, StringConstraints, ValidationInfo

from onecard_adapters.mapping.codes import CodeTables

Area = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{5}$")]
"""Six digits of an administrative or insurance area."""
InstitutionCode = Annotated[str, StringConstraints(pattern=r"^[HP]\d{11}$")]
"""H (hospital) or P (pharmacy), six digits of area, five of serial."""


def _beside_the_profile(path: Path, info: ValidationInfo) -> Path:
    directory = (info.context or {}).get("directory")
    return path if directory is None else Path(directory) / path


ProfilePath = Annotated[Path, AfterValidator(_beside_the_profile)]
"""A path relative to the profile file."""


class Strict(BaseModel):
    """Frozen, and without room for a misspelt name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ListenSettings(Strict):
    """Where local systems reach the adapter."""

    host: str = "127.0.0.1"
    """Address of this machine that is listened on; 0.0.0.0 is every one."""
    port: int = Field(ge=0, le=65_535)
    """0: any free one, which the adapter names at its start."""
    path: str = Field(pattern=r"^/")
    """Where calls are taken, as /fsi; everything else is answered with 404."""


class SignInSettings(Strict):
    """A core that serves a trade only to who has signed in (9001)."""

    code: str = Field(pattern=r"^[A-Z]\d{11}$")
    """fixmedins_code of the adapter's own sign-in."""
    ended_codes: frozenset[str] = frozenset()
    """infcodes by which the core says that the sign-in has ended and the trade was not looked at: sign in again."""


class CoreSettings(Strict):
    """The province's core system."""

    url: HttpUrl
    """Where it is called, as one address for all trades."""
    receiver_code: str = Field(default="99", max_length=10)
    """recer_sys_code."""
    interface_version: str = Field(default="V1.0", max_length=6)
    """infver."""
    codes_in_doubt: frozenset[str] = frozenset()
    """infcodes of a failure that do not say whether the trade was executed (Chongqing: -1); none means all refuse."""
    sign_in: SignInSettings | None = None
    """How to sign in; left out where the core asks for no sign-in."""


class InstitutionSettings(Strict):
    """A medical institution of the province."""

    code: InstitutionCode
    """H (hospital) or P (pharmacy), six digits of area, five of serial."""
    name: str = Field(min_length=1)
    """Told to insured provinces and the core, whatever a request calls it."""
    area: Area
    """Six digits of where it stands; a filing must cover it."""
    is_open: bool = True
    """Whether it is open for cross-province settlement (fix_onln_open_flag)."""


class InfnoCareSettings(Strict):
    """Place of care: hospitals speak infno JSON over HTTP to the adapter."""

    dialect: Literal["infno"]
    listen: ListenSettings
    core: CoreSettings
    institutions: tuple[InstitutionSettings, ...] = Field(min_length=1)
    recovery: Literal["repeat"]
    """What the own core allows where its answer to registration, fee lines, discharge, filing is missing (rule 11): the
    same msgid again, which it answers as before. A profile must say it; a core without it cannot be connected."""
    code_tables: ProfilePath
    """The local codes of each code table, and what they are in the nation's."""
    area: Area
    """Area of the receiver in inf_refmsgid; its first two digits are the own province."""
    requires_sign_in: bool = True
    """Whether trades without a known sign_no are refused."""
    has_business_error_code: bool = True
    """-2 for what the business refused, -1 for what must be queried or reversed (Chongqing); False: -1 for both."""

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load."""
        return CodeTables.load(self.code_tables)


class RecoverySettings(Strict):
    """What the core allows after a crash between a call and its answer (rule 11). A profile must say it."""

    settlement: Literal["query", "reverse", "none"]
    """settle, cancel, reverse: 5203 finds them by the msgid; or 2601 of that msgid; or a person decides."""
    others: Literal["repeat", "none"]
    """registration, fee lines, discharge, filing: the core answers the same msgid again with the same result, or does
    not, and a person decides."""
    conclusive_after_ms: int = Field(ge=0)
    """From a call until the absence of its result in 5203 proves that it was not and will not be executed."""


class InfnoInsuredSettings(Strict):
    """Insured role: the adapter speaks infno JSON over HTTP to the province's core."""

    dialect: Literal["infno"]
    core: CoreSettings
    code_tables: ProfilePath
    """The local codes of each code table, and what they are in the nation's."""
    area: Area
    """Six digits; the insured area of a person of whom a query names none."""
    organisation_code: str = Field(pattern=r"^[A-Z]\d{11}$")
    """The sender in msgids (12 characters)."""
    recovery: RecoverySettings

    def tables(self) -> CodeTables:
        """The code tables; CONFIGURATION_INVALID if they do not load."""
        return CodeTables.load(self.code_tables)
