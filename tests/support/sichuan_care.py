"""A Sichuan hospital with core and adapter; the patient is insured in Guangdong, whose core speaks the same form."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

from onecard_adapters.connectors.http import Handler, LocalHttpClient, LocalHttpServer
from onecard_adapters.dialects.cross_region_xml import insured
from onecard_adapters.dialects.cross_region_xml.care import build_care
from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_adapters.dialects.cross_region_xml.settings import CrossRegionXmlCareSettings
from onecard_stubs.population import Person, Population
from onecard_stubs.sichuan.core import SichuanCore
from onecard_stubs.sichuan.hospital import BillLine, HospitalStay, SichuanHospital
from tests.support.edge_memory import edge_memory
from tests.support.fake_exchange import FakeExchange
from tests.support.sichuan import CODE_TABLES, core_settings, insured_settings

PATH = "/sichuan"


def care_settings(core_url: str, operation: Operation, **changes: object) -> CrossRegionXmlCareSettings:
    """Settings of the role against a core at this address."""
    return CrossRegionXmlCareSettings.model_validate(
        {
            "dialect": "cross-region-xml",
            "core": core_settings(core_url, operation),
            "recovery": "repeat",
            "code_tables": CODE_TABLES,
            "area": "510000",
            "listen": {"port": 0, "path": PATH},
            "institutions": [
                {"code": "H51010099901", "name": "示例市人民医院", "area": "510100"},
                {"code": "H51010099902", "name": "示例市第二医院", "area": "510100", "is_open": False},
            ],
            **changes,
        }
    )


def line(number: int, price: str, item_code: str = "XN05CDD158A001010100001", quantity: str = "1") -> BillLine:
    """A line of the bill; the item of the default is wholly in scope."""
    return BillLine(
        line_id=f"99{number:03d}",
        item_code=item_code,
        name="示例药品",
        quantity=Decimal(quantity),
        price=Decimal(price),
    )


# 5000.10: 4000.00 in scope, 900.00 of 乙 with 10 % first, 100.10 paid by the patient.
BILL = (
    line(1, "4000.00"),
    line(2, "900.00", "XJ01DDT097B001010100002"),
    line(3, "100.10", "ZZZ"),
)
BILL_FEN = 500_010


@dataclasses.dataclass(slots=True)
class SichuanCare:
    """Both provinces, with the addresses that hospitals and cores use."""

    exchange: FakeExchange
    own_core: SichuanCore
    insured_core: SichuanCore
    hospital: SichuanHospital
    handler: Handler
    """The care role, without the HTTP in front of it."""

    @property
    def person(self) -> Person:
        """A retired employee insured in Guangdong, with one active enrolment."""
        return next(
            person
            for person in self.insured_core.state.population
            if [enrolment.person_class for enrolment in person.active_enrolments] == ["1201"]
        )

    @property
    def stay(self) -> HospitalStay:
        """A new stay of that person."""
        return HospitalStay(hospital=self.hospital, person=self.person)

    async def file(self, person: Person) -> str:
        """Guangdong files for the person, towards the hospital's city."""
        filed = await self.insured_core.file_outwards(
            {
                "identity_number": person.identity_number,
                "destination_area": "510100",
                "filing_type": "02",
                "insurance_kind": person.active_enrolments[0].insurance_kind,
                "first_day": "20240101",
            }
        )
        return str(filed["filing_id"])

    async def discharged(self) -> HospitalStay:
        """A stay that waits to be settled: filed, identified, registered, uploaded, discharged."""
        stay = self.stay
        await self.file(stay.person)
        answers = [await stay.identify(), await stay.register(), await stay.upload(BILL), await stay.discharge()]
        assert all(answer.is_success for answer in answers), [answer.message for answer in answers]
        return stay


@contextlib.asynccontextmanager
async def sichuan_care(
    tmp_path: Path, operation: Operation = Operation.TEXT, **changes: object
) -> AsyncIterator[SichuanCare]:
    """Everything running, with changes of the role's settings."""
    async with contextlib.AsyncExitStack() as stack:
        insured_core = SichuanCore(Population("440000", seed=2, count=60), operation=operation.value)
        own_core = SichuanCore(Population("510000", seed=1, count=20), operation=operation.value)
        for core in (insured_core, own_core):
            await core.start()
            stack.push_async_callback(core.stop)
        insured_client = LocalHttpClient(url=insured_core.url, answer_ms_max=2_000)
        own_client = LocalHttpClient(url=own_core.url, answer_ms_max=2_000)
        for client in (insured_client, own_client):
            stack.push_async_callback(client.close)
        exchange = FakeExchange("cn-51")
        memory = await stack.enter_async_context(edge_memory(tmp_path))
        insured_memory = await stack.enter_async_context(edge_memory(tmp_path))
        servicers = insured.build_insured(
            insured_settings(insured_core.url, operation, area="440000"), insured_memory, insured_client
        )
        exchange.serve("cn-44", servicers.coverage, servicers.filing, servicers.encounter, servicers.settlement)
        handler = build_care(care_settings(own_core.url, operation, **changes), memory, exchange, own_client)
        server = LocalHttpServer(host="127.0.0.1", port=0, routes={PATH: handler})
        await server.start()
        stack.push_async_callback(server.stop)
        url = f"http://127.0.0.1:{server.port}{PATH}"
        own_core.adapter_url = url
        hospital = SichuanHospital(url, operation=operation.value)
        yield SichuanCare(exchange, own_core, insured_core, hospital, handler)
        exchange.check_traffic()
