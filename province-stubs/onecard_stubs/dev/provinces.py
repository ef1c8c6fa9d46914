"""The provinces that have a local system among the stubs, and what the directory says of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Province:
    """A province of the country on one machine."""

    id: str
    """Participant, "cn-44"."""
    stub: str
    """Name of its local system for `onecard stub run`."""
    name_zh: str
    name_en: str

    @property
    def adapter_process(self) -> str:
        """Name of its adapter's process."""
        return f"adapter-{self.id}"

    @property
    def stub_process(self) -> str:
        """Name of its local system's process."""
        return f"stub-{self.stub}"


PROVINCES = {
    province.id: province
    for province in (
        Province(id="cn-44", stub="guangdong", name_zh="广东省", name_en="Guangdong"),
        Province(id="cn-51", stub="sichuan", name_zh="四川省", name_en="Sichuan"),
    )
}
