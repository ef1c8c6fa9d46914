"""Sichuan's adapter over Sichuan's core: the insured role of the cross-region dialect against real HTTP on loopback."""

import contextlib
import dataclasses
import datetime
from collections.abc import AsyncIterator
from pathlib import Path

from onecard.exchange.v1 import values_pb2 as exchange_values
from onecard.medical.v1 import coverage_pb2, encounter_pb2, settlement_pb2, values_pb2
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.cross_region_xml import insured
from onecard_adapters.dialects.cross_region_xml.envelope import Operation
from onecard_adapters.dialects.cross_region_xml.settings import CrossRegionXmlInsuredSettings
from onecard_protocol.identifiers import new_message_id
from onecard_stubs.population import Person, Population
from onecard_stubs.sichuan.core import SichuanCore
from tests.support.edge_memory import edge_memory
from tests.support.fake_exchange import FakeExchange, SentCall

MEDICAL = "/onecard.medical.v1."
COVERAGE, FILING = f"{MEDICAL}CoverageService/", f"{MEDICAL}FilingService/"
ENCOUNTER, SETTLEMENT = f"{MEDICAL}EncounterService/", f"{MEDICAL}SettlementService/"
HOSPITAL = values_pb2.Institution(code="H44010099901", name="示例市第一医院", area="440100")
CODE_TABLES = Path(insured.__file__).parent.parent.parent / "profiles" / "codes" / "cross-region-xml.yaml"


def coded(system: str, code: str) -> exchange_values.CodedValue:
    """A national code, version 1."""
    return exchange_values.CodedValue(system=system, version="1", code=code)


def day(text: str) -> exchange_values.CalendarDay:
    """A day of "2024-03-12"."""
    parsed = datetime.date.fromisoformat(text)
    return exchange_values.CalendarDay(year=parsed.year, month=parsed.month, day=parsed.day)


def core_settings(url: str, operation: Operation) -> dict[str, object]:
    """Settings of a core at this address as the place of care has them, with the errorcodes of the stub."""
    return {
        "url": url,
        "operation": operation,
        "operator_code": "111",
        "duplicate_transid_codes": [-11],
        "refusals": {-21: "NOT_INSURED", -22: "NOT_FILED", -31: "FEE_MISMATCH", -32: "DOUBLE_SETTLEMENT"},
    }


def insured_settings(
    url: str, operation: Operation, recovery: str = "query-by-transid", area: str = "510000"
) -> CrossRegionXmlInsuredSettings:
    """Settings of the insured role against a core at this address."""
    return CrossRegionXmlInsuredSettings.model_validate(
        {
            "dialect": "cross-region-xml",
            "core": core_settings(url, operation) | {"settlement_class": "12"},
            "code_tables": CODE_TABLES,
            "area": area,
            "recovery": recovery,
        }
    )


@dataclasses.dataclass(slots=True)
class Sichuan:
    """The core, and the exchange on which its adapter serves cn-51; Guangdong (cn-44) is the caller."""

    core: SichuanCore
    exchange: FakeExchange
    servicers: insured.InsuredServicers

    @property
    def person(self) -> Person:
        """A retired employee with one active enrolment."""
        return next(
            person
            for person in self.core.state.population
            if [enrolment.person_class for enrolment in person.active_enrolments] == ["1201"]
        )

    async def call(self, method: str, request: object, **options: object) -> object:
        """Call a method of cn-51 as cn-44. Raises CallFailed."""
        return await self.exchange.call("cn-51", method, request, **options)  # type: ignore[arg-type]

    @property
    def last_call(self) -> SentCall:
        """The call made last."""
        return self.exchange.calls[-1]


@contextlib.asynccontextmanager
async def sichuan(
    tmp_path: Path, operation: Operation = Operation.TEXT, recovery: str = "query-by-transid"
) -> AsyncIterator[Sichuan]:
    """Core and adapter, running."""
    core = SichuanCore(Population("510000", seed=1, count=60), operation=operation.value)
    await core.start()
    client = LocalHttpClient(url=core.url, answer_ms_max=2_000)
    exchange = FakeExchange("cn-44")
    async with edge_memory(tmp_path) as memory:
        servicers = insured.build_insured(insured_settings(core.url, operation, recovery), memory, client)
        exchange.serve("cn-51", servicers.coverage, servicers.filing, servicers.encounter, servicers.settlement)
        try:
            yield Sichuan(core, exchange, servicers)
            exchange.check_traffic()
        finally:
            await client.close()
            await core.stop()


@dataclasses.dataclass(slots=True)
class Stay:
    """One stay of a Sichuan person in a Guangdong hospital, step by step."""

    sichuan: Sichuan
    person: Person
    visit_id: str = "S5101002403020990001"
    care: str = "21"
    encounter_id: str = ""

    @property
    def identity(self) -> exchange_values.PersonIdentity:
        """Who."""
        return exchange_values.PersonIdentity(
            kind=coded("nhsa.psn_cert_type", "01"), number=self.person.identity_number
        )

    @property
    def insured_number(self) -> values_pb2.InsuredNumber:
        """Number in the insured area."""
        return values_pb2.InsuredNumber(
            insurance_area=self.person.active_enrolments[0].insurance_area, personal_number=self.person.personal_number
        )

    @property
    def encounter(self) -> values_pb2.EncounterReference:
        """The encounter as Guangdong names it."""
        return values_pb2.EncounterReference(
            encounter_id=self.encounter_id, institution_code=HOSPITAL.code, visit_id=self.visit_id
        )

    async def coverage(self) -> coverage_pb2.QueryCoverageResponse:
        """Query coverage."""
        response = await self.sichuan.call(
            f"{COVERAGE}QueryCoverage",
            coverage_pb2.QueryCoverageRequest(
                person=self.identity, insurance_area=self.insured_number.insurance_area, institution=HOSPITAL
            ),
        )
        assert isinstance(response, coverage_pb2.QueryCoverageResponse)
        return response

    async def file(self, filing_type: str = "02", destination: str = "440100") -> str:
        """Sichuan files for the person (nobody is told)."""
        filed = await self.sichuan.core.file_outwards(
            {
                "identity_number": self.person.identity_number,
                "destination_area": destination,
                "filing_type": filing_type,
                "insurance_kind": self.person.active_enrolments[0].insurance_kind,
                "first_day": "20240101",
            }
        )
        return str(filed["filing_id"])

    async def register(self, **changes: object) -> None:
        """Admit."""
        request = encounter_pb2.RegisterRequest(
            person=self.identity,
            insured_number=self.insured_number,
            institution=HOSPITAL,
            visit_id=self.visit_id,
            institution_number="ZY990001",
            care_kind=coded("nhsa.med_type", self.care),
            insurance_kind=coded("nhsa.insutype", self.person.active_enrolments[0].insurance_kind),
            first_day=day("2024-03-02"),
            diagnoses=encounter_pb2.Diagnoses(
                diagnoses=[
                    encounter_pb2.Diagnosis(kind=coded("nhsa.diag_type", "1"), code="I10.x00", name="高血压", order=1)
                ]
            ),
            **changes,  # type: ignore[arg-type]
        )
        response = await self.sichuan.call(f"{ENCOUNTER}Register", request)
        assert isinstance(response, encounter_pb2.RegisterResponse)
        self.encounter_id = response.encounter.encounter_id

    async def upload(self, *lines: encounter_pb2.FeeLine) -> encounter_pb2.UploadFeeLinesResponse:
        """Upload lines."""
        response = await self.sichuan.call(
            f"{ENCOUNTER}UploadFeeLines",
            encounter_pb2.UploadFeeLinesRequest(
                person=self.identity, insured_number=self.insured_number, encounter=self.encounter, lines=lines
            ),
        )
        assert isinstance(response, encounter_pb2.UploadFeeLinesResponse)
        return response

    async def withdraw_lines(self, *line_ids: str) -> encounter_pb2.WithdrawFeeLinesResponse:
        """Take lines back."""
        response = await self.sichuan.call(
            f"{ENCOUNTER}WithdrawFeeLines",
            encounter_pb2.WithdrawFeeLinesRequest(
                person=self.identity, insured_number=self.insured_number, encounter=self.encounter, line_ids=line_ids
            ),
        )
        assert isinstance(response, encounter_pb2.WithdrawFeeLinesResponse)
        return response

    async def discharge(self) -> None:
        """Discharge."""
        await self.sichuan.call(
            f"{ENCOUNTER}Discharge",
            encounter_pb2.DischargeRequest(
                person=self.identity,
                insured_number=self.insured_number,
                encounter=self.encounter,
                last_day=day("2024-03-12"),
                discharge_way=coded("nhsa.dscg_way", "1"),
            ),
        )

    def terms(self, **changes: object) -> settlement_pb2.SettlementTerms:
        """The terms of the bill of the samples: 5000.10 = 200.00 + 300.10 + 4500.00."""
        content: dict[str, object] = {
            "insured_number": self.insured_number,
            "encounter": self.encounter,
            "institution": HOSPITAL,
            "care_kind": coded("nhsa.med_type", self.care),
            "insurance_kind": coded("nhsa.insutype", self.person.active_enrolments[0].insurance_kind),
            "first_day": day("2024-03-02"),
            "last_day": day("2024-03-12"),
            "fees": values_pb2.FeeTotals(
                total_fen=500_010, full_self_pay_fen=20_000, preceding_self_pay_fen=30_010, in_scope_fen=450_000
            ),
            "line_count": 2,
            "uses_personal_account": True,
            "settlement_way": coded("nhsa.psn_setlway", "01"),
            "local_transaction_id": "44010000000120240312000099",
        }
        return settlement_pb2.SettlementTerms(**(content | changes))  # type: ignore[arg-type]

    async def pre_settle(self, **changes: object) -> values_pb2.SettlementSplit:
        """Trial."""
        response = await self.sichuan.call(
            f"{SETTLEMENT}PreSettle",
            settlement_pb2.PreSettleRequest(person=self.identity, terms=self.terms(**changes)),
        )
        assert isinstance(response, settlement_pb2.PreSettleResponse)
        return response.split

    async def settle(self, **options: object) -> settlement_pb2.SettleResponse:
        """Settle."""
        response = await self.sichuan.call(
            f"{SETTLEMENT}Settle",
            settlement_pb2.SettleRequest(person=self.identity, terms=self.terms()),
            **options,
        )
        assert isinstance(response, settlement_pb2.SettleResponse)
        return response

    async def cancel(
        self, original_id: str, settlement_id: str, **options: object
    ) -> settlement_pb2.CancelSettlementResponse:
        """Cancel."""
        response = await self.sichuan.call(
            f"{SETTLEMENT}CancelSettlement",
            settlement_pb2.CancelSettlementRequest(
                person=self.identity,
                insured_number=self.insured_number,
                encounter=self.encounter,
                original_id=original_id,
                settlement_id=settlement_id,
            ),
            **options,
        )
        assert isinstance(response, settlement_pb2.CancelSettlementResponse)
        return response

    async def reverse(
        self, original_id: str, method: str = "Settle", **options: object
    ) -> settlement_pb2.ReverseResponse:
        """Reverse."""
        response = await self.sichuan.call(
            f"{SETTLEMENT}Reverse",
            settlement_pb2.ReverseRequest(
                person=self.identity,
                insured_number=self.insured_number,
                original_id=original_id,
                original_method=f"{SETTLEMENT}{method}",
                encounter=self.encounter,
            ),
            **options,
        )
        assert isinstance(response, settlement_pb2.ReverseResponse)
        return response

    async def query(
        self, original_id: str, method: str = "Settle", settlement_id: str = ""
    ) -> settlement_pb2.QuerySettlementResponse:
        """Query."""
        response = await self.sichuan.call(
            f"{SETTLEMENT}QuerySettlement",
            settlement_pb2.QuerySettlementRequest(
                person=self.identity,
                insured_number=self.insured_number,
                encounter=self.encounter,
                original_id=original_id,
                original_method=f"{SETTLEMENT}{method}",
                settlement_id=settlement_id,
            ),
        )
        assert isinstance(response, settlement_pb2.QuerySettlementResponse)
        return response

    async def until_discharge(self) -> None:
        """File, register, upload the bill of the samples, discharge."""
        await self.file()
        await self.register()
        await self.upload(*BILL)
        await self.discharge()


def line(
    line_id: str, amount_fen: int, *, full_self_pay_fen: int = 0, preceding_self_pay_fen: int = 0
) -> encounter_pb2.FeeLine:
    """A fee line of quantity 1, or -1 if it takes back, as the place of care split it; the rest is in scope."""
    return encounter_pb2.FeeLine(
        line_id=line_id,
        item_code="XN05CDD158A001010100001",
        institution_item_code="Y0001",
        item_name="示例药品",
        charge_class=coded("nhsa.med_chrgitm_type", "09"),
        charge_level=coded("nhsa.chrgitm_lv", "02"),
        quantity_e4=10_000 if amount_fen >= 0 else -10_000,
        unit_price_e6=abs(amount_fen) * 10_000,
        amount_fen=amount_fen,
        full_self_pay_fen=full_self_pay_fen,
        preceding_self_pay_fen=preceding_self_pay_fen,
        in_scope_fen=amount_fen - full_self_pay_fen - preceding_self_pay_fen,
        day=day("2024-03-03"),
    )


BILL = (
    line("99001", 400_000, preceding_self_pay_fen=30_010),
    line("99002", 100_010, full_self_pay_fen=20_000),
)


def new_id() -> bytes:
    """A message id."""
    return new_message_id(FakeExchange().hub_time_ms())
