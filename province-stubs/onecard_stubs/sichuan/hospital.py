"""A Sichuan hospital's client: it sends its trades to one address over SOAP and believes what comes back.

It numbers its own transactions as hospitals do (area, day, ten digits), and can send the forms of the samples, which
carry no number, by `transid=""`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import aiohttp

from onecard_protocol.china_time import SHANGHAI
from onecard_stubs.population import Person
from onecard_stubs.sichuan import soap
from onecard_stubs.sichuan.amounts import round_half_up, to_text

_ANSWER_SECONDS_MAX: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the cashier's program got."""

    code: int
    message: str
    transid: str
    output: soap.Message

    @property
    def is_success(self) -> bool:
        """errorcode >= 0."""
        return self.code >= 0

    def value(self, name: str) -> str:
        """An element of the output."""
        return self.output.value(f"output/{name}")

    def rows(self, name: str) -> list[dict[str, str]]:
        """A list of the output."""
        return self.output.rows(f"output/{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """A line of the hospital's bill; a negative quantity takes back the line named."""

    line_id: str
    item_code: str
    name: str
    quantity: Decimal
    price: Decimal
    day: str = "20240303"
    returned_line_id: str = ""

    @property
    def amount_fen(self) -> int:
        """Quantity by price, half up to the fen."""
        return round_half_up(self.quantity * self.price * 100)

    def fields(self) -> dict[str, str]:
        """As 0301 carries it; the split is the catalogue's business."""
        return {
            "ykc610": self.line_id,
            "ykc611": self.returned_line_id,
            "ake001": self.item_code,
            "ake005": f"Y{self.line_id}",
            "ake006": self.name,
            "aka063": "9",
            "akc226": format(self.quantity, "f"),
            "akc225": format(self.price, "f"),
            "akc227": to_text(self.amount_fen),
            "ake007": self.day,
        }


class SichuanHospital:
    """One hospital."""

    def __init__(
        self,
        url: str,
        *,
        code: str = "H51010099901",
        name: str = "示例市人民医院",
        area: str = "510100",
        operation: str = soap.TEXT_OPERATION,
    ) -> None:
        self._url = url
        self._code = code
        self._name = name
        self._area = area
        self._operation = operation
        self._numbers = itertools.count(1)

    def new_transid(self) -> str:
        """The next number of this hospital."""
        return f"{self._area}{datetime.now(SHANGHAI):%y%m%d}99{next(self._numbers):08d}"

    async def send(self, trade: str, fields: soap.Fields, transid: str | None = None) -> Answer:
        """Send a trade under a number of its own (None), the given one, or none (""). Raises aiohttp.ClientError."""
        number = self.new_transid() if transid is None else transid
        head = {"transid": number} if number else {}
        place = {"aab299": self._area, "yab600": self._area, "akb026": self._code, "akb021": self._name}
        return await self.send_bytes(soap.write_call(self._operation, trade, {**head, **place, **fields}))

    async def send_bytes(self, body: bytes) -> Answer:
        """Send what is written already. Raises SoapError if the answer is none."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS_MAX)) as session,
            session.post(self._url, data=body, headers={"Content-Type": soap.CONTENT_TYPE}) as response,
        ):
            output = soap.read(await response.read())
        return Answer(
            code=int(output.value("errorcode")),
            message=output.value("errormsg"),
            transid=output.value("transid"),
            output=output,
        )


@dataclass(slots=True, kw_only=True)
class HospitalStay:
    """One patient's stay, step by step, as the cashier's program goes through it."""

    hospital: SichuanHospital
    person: Person
    insurance_kind: str = "310"
    care_kind: str = "21"
    visit_id: str = ""
    settlement_id: str = ""

    def head(self) -> dict[str, str]:
        """Who the patient is, as every request says it."""
        return {
            "aab301": self.person.active_enrolments[0].insurance_area,
            "yab060": "",
            "aac002": self.person.identity_number,
            "aac043": "01",
            "aac044": self.person.identity_number,
        }

    async def identify(self, **fields: str) -> Answer:
        """0211."""
        return await self.hospital.send("0211", {**self.head(), "ake007": "20240302", **fields}, "")

    async def register(self, transid: str | None = None) -> Answer:
        """0212; keeps the visit's number."""
        answer = await self.hospital.send(
            "0212",
            {
                **self.head(),
                "ykc700": "",
                "yzz021": "ZY990001",
                "aka130": self.care_kind,
                "aae140": self.insurance_kind,
                "aae030": "20240302",
                "detail": [{"yzy201": "1", "yzy202": "1", "akc185": "高血压", "akc196": "I10.x00"}],
            },
            transid,
        )
        if answer.is_success:
            self.visit_id = answer.value("ykc700")
        return answer

    async def upload(self, lines: Sequence[BillLine], transid: str | None = None) -> Answer:
        """0301."""
        rows = [line.fields() for line in lines]
        return await self.hospital.send("0301", {**self._visit(), "detail": rows}, transid)

    async def withdraw(self, otransid: str = "0", line_ids: Sequence[str] = (), transid: str | None = None) -> Answer:
        """0302."""
        named = [{"ykc610": line_id} for line_id in line_ids]
        return await self.hospital.send("0302", {"otransid": otransid, **self._visit(), "detail": named}, transid)

    async def discharge(self) -> Answer:
        """0214."""
        return await self.hospital.send("0214", {**self._visit(), "akc194": "20240312", "akc195": "1"})

    async def trial(self, total_fen: int) -> Answer:
        """0303."""
        return await self.hospital.send("0303", self._bill(total_fen))

    async def settle(self, total_fen: int, transid: str | None = None) -> Answer:
        """0304; keeps the settlement's number."""
        answer = await self.hospital.send("0304", self._bill(total_fen), transid)
        if answer.is_success:
            self.settlement_id = answer.value("ykc618")
        return answer

    async def cancel(self, transid: str | None = None) -> Answer:
        """0305."""
        return await self.hospital.send("0305", {**self._visit(), "ykc618": self.settlement_id}, transid)

    async def reverse(self, otransid: str, transid: str | None = None) -> Answer:
        """0306."""
        return await self.hospital.send("0306", {**self._visit(), "otransid": otransid}, transid)

    async def query(self, otransid: str = "", settlement_id: str = "") -> Answer:
        """0708."""
        fields = {**self._visit(), "otransid": otransid, "ykc618": settlement_id}
        return await self.hospital.send("0708", fields, "")

    async def lines(self, start_row: int = 1) -> Answer:
        """0707."""
        return await self.hospital.send("0707", {**self._visit(), "startrow": str(start_row)}, "")

    def _visit(self) -> dict[str, str]:
        return {"ykc700": self.visit_id, **self.head()}

    def _bill(self, total_fen: int) -> dict[str, str]:
        # The elements of the sample of 0304, in its order.
        return {
            **self._visit(),
            "ykc675": "12",
            "akc264": to_text(total_fen),
            "aae011": "111",
            "aae036": "20240312",
            "akc194": "20240312",
            "yzz021": "ZY990001",
            "aae013": "",
        }
