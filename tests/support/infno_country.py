"""Two provinces that both speak infno, over real HTTP on loopback, with the nation in process between them.

hospital → care role → FakeExchange → insured role → core; the place of care's own core stands beside the care role.
"""

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from onecard_adapters.connectors.http import Handler, LocalHttpClient, LocalHttpServer
from onecard_adapters.dialects.infno.care import build_care
from onecard_adapters.dialects.infno.insured import build_insured
from onecard_adapters.dialects.infno.settings import InfnoCareSettings, InfnoInsuredSettings
from onecard_adapters.dialects.national import NationalExchange
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.runtime.store import Store
from onecard_stubs.guangdong import wire
from onecard_stubs.guangdong.core import GuangdongCore
from onecard_stubs.guangdong.counter import FeeItem, Stay
from onecard_stubs.guangdong.hospital import Hospital
from onecard_stubs.population import Enrolment, Person, Population
from tests.support.fake_exchange import FakeExchange

CODE_TABLES = Path(__file__).parents[2] / "adapters/onecard_adapters/profiles/codes/nhsa-infno.yaml"
HOSPITAL_CODE = "H44030099903"
HOSPITAL_AREA = "440300"
TODAY = wire.now().date()
ADMITTED = TODAY - timedelta(days=5)

ITEMS = (
    FeeItem(code="001109000010000-110900001", name="普通病房床位费", quantity=Decimal(5), price=Decimal("60")),
    FeeItem(code="002103000010000-210300001", name="CT平扫", quantity=Decimal(2), price=Decimal("251.35")),
    FeeItem(code="XC09AAA000A001010000000", name="贝那普利片", quantity=Decimal(30), price=Decimal("13.333333")),
    FeeItem(code="XA00AAA000A001010000000", name="奥美拉唑肠溶胶囊", quantity=Decimal(20), price=Decimal("100.11")),
    FeeItem(code="XV99AAA000A001010000000", name="营养补充剂", quantity=Decimal(3), price=Decimal("33.30")),
)


@dataclasses.dataclass(slots=True, kw_only=True)
class Country:
    """Everything that a flow needs."""

    hospital: Hospital
    care_core: GuangdongCore
    insured_core: GuangdongCore
    exchange: FakeExchange
    care_memory: EdgeMemory
    insured_memory: EdgeMemory
    care_settings: InfnoCareSettings
    insured_settings: InfnoInsuredSettings
    insured: Any
    handler: Handler
    """The care role, without the HTTP in front of it."""
    today: date = TODAY

    def employee(self) -> tuple[Person, Enrolment]:
        """Somebody with an active employees' insurance and money in the account, and the enrolment."""
        for person in self.insured_core.population:
            for enrolment in person.active_enrolments:
                if enrolment.insurance_kind == "310" and enrolment.account_balance_fen > 10_000:
                    return person, enrolment
        raise LookupError("the population has no such person")

    def file(self, person: Person, enrolment: Enrolment, destination_area: str = "440000") -> str:
        """A filing of the insured province's own counter."""
        return self.insured_core.benefits.file(
            person,
            insurance_area=enrolment.insurance_area,
            destination_area=destination_area,
            filing_type="12",
            first_day=TODAY - timedelta(days=30),
        ).filing_id

    async def admitted(self, *, number: str = "ZY2403010001") -> Stay:
        """A filed, identified and admitted employee."""
        person, enrolment = self.employee()
        self.file(person, enrolment)
        await self.hospital.sign_in()
        identified = await self.hospital.identify(person, insurance_area=enrolment.insurance_area)
        assert identified.is_success, identified.text
        answer, stay = await self.hospital.admit(
            person, insurance_area=enrolment.insurance_area, insurance_kind="310", number=number, day=ADMITTED
        )
        assert answer.is_success, answer.text
        return stay

    async def ready_to_settle(self, *, number: str = "ZY2403010001") -> Stay:
        """The same with fee lines uploaded, pre-settled and discharged."""
        stay = await self.admitted(number=number)
        for answer in (
            await self.hospital.upload_fees(stay, ITEMS, day=ADMITTED),
            await self.hospital.pre_settle(stay),
            await self.hospital.discharge(stay, day=TODAY),
        ):
            assert answer.is_success, answer.text
        return stay


def care_settings(core_url: str, **changes: Any) -> InfnoCareSettings:
    """Settings of the care role in tests."""
    values: dict[str, Any] = {
        "dialect": "infno",
        "listen": {"host": "127.0.0.1", "port": 0, "path": "/fsi"},
        "core": {"url": core_url},
        "institutions": [{"code": HOSPITAL_CODE, "name": "示例市第三医院", "area": HOSPITAL_AREA}],
        "recovery": "repeat",
        "code_tables": CODE_TABLES,
        "area": "440000",
    }
    return InfnoCareSettings.model_validate({**values, **changes})


def insured_settings(core_url: str, **changes: Any) -> InfnoInsuredSettings:
    """Settings of the insured role in tests."""
    values: dict[str, Any] = {
        "dialect": "infno",
        "core": {"url": core_url},
        "code_tables": CODE_TABLES,
        "area": "510000",
        "organisation_code": "S51000099901",
        "recovery": {"settlement": "query", "others": "repeat", "conclusive_after_ms": 0},
    }
    return InfnoInsuredSettings.model_validate({**values, **changes})


@contextlib.asynccontextmanager
async def open_memory(path: Path) -> AsyncIterator[EdgeMemory]:
    """A real memory in a file."""
    store = Store(path)
    await store.open()
    try:
        yield EdgeMemory(store, Sealer(bytes(range(32))))
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def guangdong_hospital(directory: Path, exchange: NationalExchange) -> AsyncIterator[Hospital]:
    """A hospital whose adapter, over HTTP, calls other provinces by this exchange."""
    async with contextlib.AsyncExitStack() as stack:
        core = GuangdongCore(Population(province_area="440000", count=3))
        await core.start()
        stack.push_async_callback(core.stop)
        memory = await stack.enter_async_context(open_memory(directory / "care.db"))
        client = LocalHttpClient(url=core.url)
        stack.push_async_callback(client.close)
        handler = build_care(care_settings(core.url), memory, exchange, client)
        server = LocalHttpServer(host="127.0.0.1", port=0, routes={"/fsi": handler})
        await server.start()
        stack.push_async_callback(server.stop)
        hospital = Hospital(f"http://127.0.0.1:{server.port}/fsi")
        stack.push_async_callback(hospital.close)
        yield hospital


@contextlib.asynccontextmanager
async def country(
    directory: Path,
    *,
    care: dict[str, Any] | None = None,
    insured: dict[str, Any] | None = None,
    codes_in_doubt: frozenset[str] = frozenset(),
    sign_in: dict[str, Any] | None = None,
) -> AsyncIterator[Country]:
    """Start it all.

    `care` and `insured` change settings, `codes_in_doubt` and `sign_in` those of the insured core, which then serves
    only those who have signed in.
    """
    async with contextlib.AsyncExitStack() as stack:
        care_core = GuangdongCore(Population(province_area="440000", count=5))
        insured_core = GuangdongCore(
            Population(province_area="510000", count=60), province_area="510000", requires_sign_in=sign_in is not None
        )
        for core in (care_core, insured_core):
            await core.start()
            stack.push_async_callback(core.stop)
        care_memory = await stack.enter_async_context(open_memory(directory / "care.db"))
        insured_memory = await stack.enter_async_context(open_memory(directory / "insured.db"))
        exchange = FakeExchange("cn-44")
        insured_client = LocalHttpClient(url=insured_core.url, answer_ms_max=2_000)
        stack.push_async_callback(insured_client.close)
        insured_changes = {
            "core": {"url": insured_core.url, "codes_in_doubt": codes_in_doubt, "sign_in": sign_in},
            **(insured or {}),
        }
        settings_of_insured = insured_settings(insured_core.url, **insured_changes)
        served = build_insured(settings_of_insured, insured_memory, insured_client)
        exchange.serve("cn-51", served.coverage, served.filing, served.encounter, served.settlement)
        settings = care_settings(care_core.url, **(care or {}))
        care_client = LocalHttpClient(url=care_core.url, answer_ms_max=2_000)
        stack.push_async_callback(care_client.close)
        handler = build_care(settings, care_memory, exchange, care_client)
        server = LocalHttpServer(host="127.0.0.1", port=0, routes={settings.listen.path: handler})
        await server.start()
        stack.push_async_callback(server.stop)
        hospital = Hospital(f"http://127.0.0.1:{server.port}{settings.listen.path}")
        stack.push_async_callback(hospital.close)
        yield Country(
            hospital=hospital,
            care_core=care_core,
            insured_core=insured_core,
            exchange=exchange,
            care_memory=care_memory,
            insured_memory=insured_memory,
            care_settings=settings,
            insured_settings=settings_of_insured,
            insured=served,
            handler=handler,
        )
        exchange.check_traffic()


@contextlib.asynccontextmanager
async def destination(exchange: FakeExchange, directory: Path) -> AsyncIterator[GuangdongCore]:
    """Beijing, told of filings by other provinces."""
    core = GuangdongCore(Population(province_area="110000", count=3), province_area="110000")
    await core.start()
    client = LocalHttpClient(url=core.url)
    try:
        async with open_memory(directory / "destination.db") as memory:
            exchange.serve("cn-11", build_insured(insured_settings(core.url, area="110000"), memory, client).filing)
            yield core
    finally:
        await client.close()
        await core.stop()
