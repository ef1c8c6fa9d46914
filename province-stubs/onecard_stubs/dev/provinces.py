"""The participants that have a local system among the stubs, and what the directory says of them."""

from dataclasses import dataclass

from onecard_protocol.identifiers import BANKS

CARD_PACKAGE = "onecard.card.v1"
_PROVINCE_METHODS = ("/onecard.medical.v1.*", f"/{CARD_PACKAGE}.*")
_BANK_METHODS = (f"/{CARD_PACKAGE}.*",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Province:
    """A province of the country on one machine, or a bank."""

    id: str
    """Participant, "cn-44" or "bank-102"."""
    stub: str
    """Name of its local system for `onecard stub run`; empty where it has none."""
    name_zh: str
    name_en: str
    has_database: bool = False
    """Whether its local system keeps tables that the adapter reads."""

    @property
    def adapter_process(self) -> str:
        """Name of its adapter's process."""
        return f"adapter-{self.id}"

    @property
    def stub_process(self) -> str:
        """Name of its local system's process."""
        return f"stub-{self.stub}"

    @property
    def methods(self) -> tuple[str, ...]:
        """What it may send and receive."""
        return _BANK_METHODS if self.id in BANKS else _PROVINCE_METHODS


PROVINCES = {
    province.id: province
    for province in (
        Province(id="cn-44", stub="guangdong", name_zh="广东省", name_en="Guangdong"),
        Province(id="cn-51", stub="sichuan", name_zh="四川省", name_en="Sichuan"),
        Province(id="cn-11", stub="beijing", name_zh="北京市", name_en="Beijing", has_database=True),
        Province(id="cn-45", stub="guangxi", name_zh="广西壮族自治区", name_en="Guangxi"),
        Province(id="bank-102", stub="bank", name_zh="示例银行", name_en="Example Bank"),
    )
}


def without_local_system(participant: str) -> Province:
    """A participant of which only keys, certificate and settings are made."""
    return Province(id=participant, stub="", name_zh=participant, name_en=participant)
