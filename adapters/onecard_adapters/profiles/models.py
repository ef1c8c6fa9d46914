"""A profile: what one province's local systems are, in one validated YAML file (design.md, section 7).

Owns the choice of dialect for each role and the loading; each dialect owns its own settings. Paths in a profile are
relative to its file.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from onecard_adapters.dialects.bank_accounts.settings import BankAccountsSettings
from onecard_adapters.dialects.card_strings.settings import CardStringsSettings
from onecard_adapters.dialects.card_tables.settings import CardTablesSettings
from onecard_adapters.dialects.cross_region_xml.cards import CrossRegionXmlCardSettings
from onecard_adapters.dialects.cross_region_xml.settings import (
    CrossRegionXmlCareSettings,
    CrossRegionXmlInsuredSettings,
)
from onecard_adapters.dialects.infno.cards import InfnoCardSettings
from onecard_adapters.dialects.infno.settings import InfnoCareSettings, InfnoInsuredSettings, Strict
from onecard_protocol.identifiers import BANKS, PROVINCES, participant_of_area
from onecard_protocol.settings_file import read_settings, wrong_settings

CareSettings = Annotated[InfnoCareSettings | CrossRegionXmlCareSettings, Field(discriminator="dialect")]
InsuredSettings = Annotated[InfnoInsuredSettings | CrossRegionXmlInsuredSettings, Field(discriminator="dialect")]
CardSettings = Annotated[
    CardTablesSettings | CardStringsSettings | InfnoCardSettings | CrossRegionXmlCardSettings,
    Field(discriminator="dialect"),
]
BankSettings = BankAccountsSettings


class Profile(Strict):
    """One province in one or more roles, or one bank."""

    province: str = ""
    """Participant, "cn-44"; left out in a bank's profile."""
    name: str = Field(min_length=1)
    """For people: on screens and in logs."""
    care: CareSettings | None = None
    """Place of care: whom the adapter serves."""
    insured: InsuredSettings | None = None
    """Insured province: which core the adapter asks."""
    card: CardSettings | None = None
    """Issuer of cards: where the card office's system is."""
    bank: BankSettings | None = None
    """Bank of cards' accounts; it has no other role."""

    @property
    def participant(self) -> str:
        """Whom the adapter of this profile signs for."""
        return self.province if self.bank is None else self.bank.participant

    @model_validator(mode="after")
    def _is_one_participant(self) -> Self:
        roles = [role for role in (self.care, self.insured, self.card) if role is not None]
        if self.bank is not None:
            if roles or self.province:
                raise ValueError(
                    "a bank's profile has neither a province nor another role / 银行的配置不得含 province 或其他角色"
                )
            if self.bank.participant not in BANKS:
                raise ValueError(
                    f"bank.participant {self.bank.participant!r} is no participant, such as bank-102"
                    " / 不是参与方，应如 bank-102"
                )
            return self
        if self.province not in PROVINCES:
            raise ValueError(f"province {self.province!r} is no participant, such as cn-44 / 不是参与方，应如 cn-44")
        if not roles:
            raise ValueError(
                "care, insured, card or bank must be there: a profile without a role serves nobody"
                " / 至少须有 care、insured、card、bank 之一"
            )
        areas = [role.area for role in roles]
        areas += [item.area for item in self.care.institutions] if self.care is not None else []
        foreign = sorted({area for area in areas if participant_of_area(area) != self.province})
        if foreign:
            raise ValueError(f"areas outside {self.province}: {', '.join(foreign)} / 存在本省以外的区划")
        if self.care is not None:
            codes = [item.code for item in self.care.institutions]
            double = sorted({code for code in codes if codes.count(code) > 1})
            if double:
                raise ValueError(f"institutions that stand twice: {', '.join(double)} / 机构重复")
        return self


def load_profile(path: Path) -> Profile:
    """Read and check a profile; its code tables too.

    Raises CONFIGURATION_INVALID naming the file and, as violations, every setting that is wrong and why.
    """
    content = read_settings(path)
    try:
        profile = Profile.model_validate(content, context={"directory": path.parent})
    except ValidationError as error:
        raise wrong_settings(path, Profile, error) from None
    for role in (profile.care, profile.insured, profile.card, profile.bank):
        if role is not None:
            role.tables()
    return profile
