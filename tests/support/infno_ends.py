"""Both ends of infno with scripted cores, so that samples of real messages can be requests and answers."""

import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from onecard.exchange.v1.values_pb2 import CodedValue, PersonIdentity
from onecard_adapters.connectors.http import HttpRequest, LocalHttpClient
from onecard_adapters.dialects.in_part import DONE
from onecard_adapters.dialects.infno import trades
from onecard_adapters.dialects.infno.care import Care, build_care
from onecard_adapters.dialects.infno.insured import build_insured
from onecard_adapters.dialects.infno.insured_desk import CarePlace, care_of
from onecard_adapters.runtime.memory import EdgeMemory, EncounterRecord, PersonRecord
from onecard_protocol.identifiers import new_message_id
from tests.support.fake_exchange import FakeExchange
from tests.support.infno_country import care_settings, insured_settings, open_memory
from tests.support.samples import sample
from tests.support.scripted_core import ScriptedCore

_NOW_MS = 1_710_464_700_000
GUANGDONG = ("H44030099903", "440300G0000009900001", "440300", "4403009900000001")
CHONGQING = ("H50000099902", "310009900001", "500102", "ZG9900000001")
_ENCOUNTERS = {where: new_message_id(_NOW_MS).hex() for where in (GUANGDONG, CHONGQING)}


def output_of(name: str) -> Any:
    """The output of an answer sample."""
    return json.loads(sample(f"infno/{name}"), parse_float=Decimal)["output"]


class Ends:
    """Both ends with scripted cores; visits and persons of the samples are known on both."""

    def __init__(
        self,
        care: Care,
        exchange: FakeExchange,
        care_core: ScriptedCore,
        insured_core: ScriptedCore,
        memory: EdgeMemory,
    ) -> None:
        self.care = care
        self.exchange = exchange
        self.care_core = care_core
        self.insured_core = insured_core
        self.care_memory = memory

    async def send(self, name: str) -> dict[str, Any]:
        """A request sample in, the answer out."""
        return await self.send_bytes(sample(f"infno/{name}"))

    async def send_bytes(self, body: bytes) -> dict[str, Any]:
        """The same with the bytes of a request."""
        answer = await self.care(HttpRequest(path="/fsi", headers={}, body=body))
        fields: dict[str, Any] = json.loads(answer.body, parse_float=Decimal)
        return fields

    async def hold_line(self, where: tuple[str, str, str, str], parts: list[int]) -> None:
        """Let the visit hold one fee line with these amounts: total and its four parts, in fen."""
        encounter_id = _ENCOUNTERS[where]
        lines = json.dumps({"XM99": [*parts, ""]})
        await self.care_memory.remember_transaction(
            where[0], "upload", bytes(32), new_message_id(_NOW_MS), trades.UPLOAD_FEE_LINES, encounter_id,
            {"lines": lines, DONE: "1"},
        )  # fmt: skip

    async def settled(self, where: tuple[str, str, str, str], settlement_id: str) -> None:
        """Let the visit be settled under this id."""
        await self.care_memory.remember_transaction(
            where[0], "settle", bytes(32), new_message_id(_NOW_MS), trades.SETTLE, _ENCOUNTERS[where],
            {"setl_id": settlement_id, "mdtrt_id": where[1]},
        )  # fmt: skip


@contextlib.asynccontextmanager
async def infno_ends(directory: Path) -> AsyncIterator[Ends]:
    """Everything running."""
    async with contextlib.AsyncExitStack() as stack:
        care_core, insured_core = ScriptedCore(), ScriptedCore()
        for core in (care_core, insured_core):
            await core.start()
            stack.push_async_callback(core.stop)
        care_memory = await stack.enter_async_context(open_memory(directory / "care.db"))
        insured_memory = await stack.enter_async_context(open_memory(directory / "insured.db"))
        for where in (GUANGDONG, CHONGQING):
            await _remember(care_memory, insured_memory, where)
        clients = [LocalHttpClient(url=core.url) for core in (care_core, insured_core)]
        for client in clients:
            stack.push_async_callback(client.close)
        exchange = FakeExchange("cn-11")
        served = build_insured(insured_settings(insured_core.url), insured_memory, clients[1])
        for province in ("cn-43", "cn-44", "cn-50"):
            exchange.serve(province, served.coverage, served.filing, served.encounter, served.settlement)
        # The samples ask about people of the hospital's own province, so this adapter is of another one.
        settings = care_settings(
            care_core.url,
            area="110000",
            requires_sign_in=False,
            institutions=[
                {"code": code, "name": "示例", "area": area}
                for code, area in (("H44030099903", "440300"), ("H50000099902", "500103"), ("H43000099906", "430100"))
            ],
        )
        yield Ends(
            build_care(settings, care_memory, exchange, clients[0]), exchange, care_core, insured_core, care_memory
        )
        exchange.check_traffic()


async def _remember(care: EdgeMemory, insured: EdgeMemory, where: tuple[str, str, str, str]) -> None:
    institution, visit_id, area, number = where
    kind = CodedValue(system="nhsa.psn_cert_type", version="1", code="01")
    person = PersonRecord(
        identity=PersonIdentity(kind=kind, number="440000195901019919"),
        name="陈小明",
        insurance_area=area,
        personal_number=number,
    )
    place = CarePlace(insurance_area=area, institution_code=institution, institution_name="示例", area=area)
    is_stay = where is CHONGQING
    care_attributes = {
        "med_type": "21" if is_stay else "11",
        "insutype": "310",
        "first_day": "2024-03-01",
        "filing_id": "B1",
        "filing_type": "12",
    }
    await care.remember_person(area, number, person)
    for memory, attributes in ((care, care_attributes), (insured, care_of(place, visit_id, is_stay=is_stay))):
        await memory.remember_encounter(
            institution,
            visit_id,
            EncounterRecord(
                encounter_id=_ENCOUNTERS[where],
                person=person,
                insured_participant=f"cn-{area[:2]}",
                care=attributes,
            ),
        )
