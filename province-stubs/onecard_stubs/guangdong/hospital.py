"""A hospital system in Guangdong: what its cashier does, as infno JSON to whatever serves its province.

The messages have the form of the raw requests: numbers as text or number as the client likes, empty fields in full.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import aiohttp

from onecard_stubs.guangdong import wire
from onecard_stubs.guangdong.counter import Answer, Credential, FeeItem, Stay
from onecard_stubs.population import Person

_TIMEOUT_S = 30.0
"""What such clients wait (LOCAL_CALLER_MS)."""


class Hospital:
    """One hospital; `url` is where its province's adapter listens."""

    def __init__(
        self,
        url: str,
        *,
        code: str = "H44030099903",
        name: str = "示例市第三医院",
        area: str = "440300",
        cashier: str = "张三",
    ) -> None:
        self._url = url
        self._head = {
            "mdtrtarea_admvs": area,
            "recer_sys_code": "SY",
            "dev_no": "",
            "dev_safe_info": "",
            "cainfo": "",
            "signtype": "",
            "infver": "V1.0",
            "opter_type": "1",
            "opter": "D001",
            "opter_name": cashier,
            "fixmedins_code": code,
            "fixmedins_name": name,
        }
        self._sequence = 0
        self._line_sequence = 0
        self._session: aiohttp.ClientSession | None = None
        self.sign_no = ""

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def new_msgid(self) -> str:
        """Organisation 12 + time 14 + sequence 4."""
        self._sequence += 1
        return f"{self._head['fixmedins_code']}{wire.now():%Y%m%d%H%M%S}{self._sequence % 10_000:04d}"

    def message(self, infno: str, content: object, *, insurance_area: str, msgid: str = "") -> bytes:
        """The bytes of a request; keep them to send the very same again."""
        message = {
            "infno": infno,
            "msgid": msgid or self.new_msgid(),
            "insuplc_admdvs": insurance_area,
            "inf_time": wire.clock(wire.now()),
            "sign_no": self.sign_no,
            **self._head,
            "input": content,
        }
        return wire.write(message).encode()

    async def send(self, body: bytes) -> Answer:
        """Send bytes and read the answer."""
        if self._session is None:
            # Without a bound of its own: aiohttp gives a connection that is free again to whoever asks first, and with
            # more cashiers than connections some would wait until their time is over.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)
            )
        headers = {"Content-Type": "application/json; charset=utf-8"}
        async with self._session.post(self._url, data=body, headers=headers) as response:
            received = await response.read()
        answer = wire.parse(received)
        return Answer(
            code=int(answer["infcode"]),
            text=str(answer.get("err_msg") or ""),
            output=answer.get("output") or {},
            body=received,
        )

    async def trade(self, infno: str, content: object, *, insurance_area: str, msgid: str = "") -> Answer:
        """One trade."""
        return await self.send(self.message(infno, content, insurance_area=insurance_area, msgid=msgid))

    async def sign_in(self) -> Answer:
        """9001; the sign_no goes into every later head."""
        content = {"signIn": {"opter_no": self._head["opter_name"], "mac": "00-00-00-00-00-00", "ip": ""}}
        answer = await self.trade("9001", content, insurance_area=self._head["mdtrtarea_admvs"])
        if answer.is_success:
            self.sign_no = str(answer.output["signinoutb"]["sign_no"])
        return answer

    async def sign_out(self) -> Answer:
        """9002."""
        content = {"signOut": {"opter_no": self._head["opter_name"], "sign_no": self.sign_no}}
        return await self.trade("9002", content, insurance_area=self._head["mdtrtarea_admvs"])

    async def identify(self, person: Person, *, insurance_area: str) -> Answer:
        """1101 with the identity card."""
        data = {
            **Credential.identity_card(person).fields(),
            "card_sn": "",
            "begntime": "",
            "psn_cert_type": "1",
            "certno": person.identity_number,
            "psn_name": person.name,
        }
        return await self.trade("1101", {"data": data}, insurance_area=insurance_area)

    async def identify_by_card(self, person: Person, *, insurance_area: str, card: Credential | None = None) -> Answer:
        """1101 with a social security card, the person's first one unless another is shown."""
        shown = card or Credential.card(person.card_number, person.card_recognition_code)
        data = {
            **shown.fields(),
            "begntime": "",
            "psn_cert_type": "01",
            "certno": person.identity_number,
            "psn_name": person.name,
        }
        return await self.trade("1101", {"data": data}, insurance_area=insurance_area)

    async def refer(self, person: Person, *, insurance_area: str, destination_area: str, first_day: date) -> Answer:
        """2501."""
        form = {
            "psn_no": person.personal_number,
            "insutype": "310",
            "tel": person.telephone,
            "addr": "",
            "insu_optins": insurance_area,
            "diag_code": "I10.x05",
            "diag_name": "高血压3级",
            "dise_cond_dscr": "",
            "reflin_medins_no": "",
            "reflin_medins_name": "",
            "mdtrtarea_admdvs": destination_area,
            "hosp_agre_refl_flag": "1",
            "refl_type": "1",
            "refl_date": first_day.isoformat(),
            "refl_rea": "本院无条件",
            "refl_opnn": "同意",
            "begndate": first_day.isoformat(),
            "enddate": "",
            "refl_used_flag": "",
        }
        return await self.trade("2501", {"refmedin": form}, insurance_area=insurance_area)

    async def withdraw_referral(self, person: Person, *, insurance_area: str, filing_id: str) -> Answer:
        """2502."""
        data = {"trt_dcla_detl_sn": filing_id, "psn_no": person.personal_number, "memo": "录入错误"}
        return await self.trade("2502", {"data": data}, insurance_area=insurance_area)

    async def admit(
        self,
        person: Person,
        *,
        insurance_area: str,
        insurance_kind: str,
        number: str,
        day: date,
        med_type: str = "21",
        credential: Credential | None = None,
    ) -> tuple[Answer, Stay]:
        """2401, with the identity card unless another credential is shown; without visit_id if it was refused."""
        shown = credential or Credential.identity_card(person)
        info = {
            "psn_no": person.personal_number,
            "insutype": insurance_kind,
            "coner_name": "",
            "tel": person.telephone,
            "begntime": f"{day.isoformat()} 08:30:00",
            **shown.fields(),
            "med_type": med_type,
            "ipt_no": number,
            "medrcdno": "",
            "atddr_no": "D440300000001",
            "chfpdr_name": "李四",
            "adm_diag_dscr": "高血压3级",
            "adm_dept_codg": "A03",
            "adm_dept_name": "内科",
            "adm_bed": "12",
            "dise_type_code": None,
            "exp_content": None,
        }
        diagnosis = {
            "psn_no": person.personal_number,
            "diag_type": "1",
            "maindiag_flag": "1",
            "diag_srt_no": "1",
            "diag_code": "I10.x05",
            "diag_name": "高血压3级",
            "adm_cond": "",
            "diag_dept": "内科",
            "dise_dor_no": "D440300000001",
            "dise_dor_name": "李四",
            "diag_time": f"{day.isoformat()} 08:30:00",
        }
        content = {"mdtrtinfo": info, "diseinfo": [diagnosis]}
        answer = await self.trade("2401", content, insurance_area=insurance_area)
        visit_id = str(answer.output["result"]["mdtrt_id"]) if answer.is_success else ""
        return answer, self._stay(person, shown, insurance_area, insurance_kind, visit_id, is_inpatient=True)

    async def register(
        self, person: Person, *, insurance_area: str, insurance_kind: str, number: str, day: date
    ) -> tuple[Answer, Stay]:
        """2201, with the identity card."""
        shown = Credential.identity_card(person)
        data = {
            "psn_no": person.personal_number,
            "insutype": insurance_kind,
            "begntime": f"{day.isoformat()} 09:05:07",
            **shown.fields(),
            "ipt_otp_no": number,
            "atddr_no": "D440300000001",
            "dr_name": "李四",
            "dept_code": "A03",
            "dept_name": "内科",
            "caty": "A03",
        }
        answer = await self.trade("2201", {"data": data}, insurance_area=insurance_area)
        visit_id = str(answer.output["data"]["mdtrt_id"]) if answer.is_success else ""
        return answer, self._stay(person, shown, insurance_area, insurance_kind, visit_id, is_inpatient=False)

    @staticmethod
    def _stay(
        person: Person,
        credential: Credential,
        insurance_area: str,
        insurance_kind: str,
        visit_id: str,
        *,
        is_inpatient: bool,
    ) -> Stay:
        return Stay(
            person=person,
            credential=credential,
            insurance_area=insurance_area,
            insurance_kind=insurance_kind,
            visit_id=visit_id,
            is_inpatient=is_inpatient,
        )

    async def upload_fees(self, stay: Stay, items: Sequence[FeeItem], *, day: date) -> Answer:
        """2301 or 2204; adds up what the answer says of each line."""
        rows = []
        new: dict[str, FeeItem] = {}
        batch = self.new_msgid()
        for item in items:
            self._line_sequence += 1
            line_id = f"XM99{self._line_sequence:05d}"
            new[line_id] = item
            rows.append(
                {
                    "feedetl_sn": line_id,
                    "init_feedetl_sn": item.returns,
                    "mdtrt_id": stay.visit_id,
                    "drord_no": "",
                    "psn_no": stay.person.personal_number,
                    "med_type": "21" if stay.is_inpatient else "11",
                    "chrg_bchno": "" if stay.is_inpatient else batch,
                    "fee_ocur_time": f"{day.isoformat()} 09:00:00",
                    "med_list_codg": item.code,
                    "medins_list_codg": f"YP{self._line_sequence:04d}",
                    "medins_list_name": item.name,
                    "det_item_fee_sumamt": f"{wire.yuan(item.amount_fen)}",
                    "cnt": f"{item.quantity:.4f}",
                    "pric": f"{item.price:.6f}",
                    "bilg_dept_codg": "A03",
                    "bilg_dept_name": "内科",
                    "hosp_appr_flag": "1",
                    "memo": "",
                }
            )
        infno = "2301" if stay.is_inpatient else "2204"
        answer = await self.trade(infno, {"feedetail": rows}, insurance_area=stay.insurance_area)
        if answer.is_success:
            stay.lines.update(new)
            names = ("det_item_fee_sumamt", "fulamt_ownpay_amt", "overlmt_amt", "preselfpay_amt", "inscp_scp_amt")
            sums = [sum(wire.fen(row[name]) for row in answer.output["result"]) for name in names]
            total, full, over, preceding, scope = (old + new for old, new in zip(stay.totals, sums, strict=True))
            stay.totals = (total, full, over, preceding, scope)
        return answer

    async def withdraw_all_fees(self, stay: Stay) -> Answer:
        """2302 or 2205 of everything."""
        data = {"mdtrt_id": stay.visit_id, "psn_no": stay.person.personal_number}
        data["feedetl_sn" if stay.is_inpatient else "chrg_bchno"] = "0000"
        infno = "2302" if stay.is_inpatient else "2205"
        answer = await self.trade(infno, {"data": data}, insurance_area=stay.insurance_area)
        if answer.is_success:
            stay.lines.clear()
            stay.totals = (0, 0, 0, 0, 0)
        return answer

    def bill(self, stay: Stay, *, invoice: str = "") -> dict[str, Any]:
        """input.data of pre-settlement and settlement: the total as text, its parts as numbers, as one client does."""
        total, full, over, preceding, scope = stay.totals
        return {
            "psn_no": stay.person.personal_number,
            **stay.credential.fields(),
            "med_type": "21" if stay.is_inpatient else "11",
            "medfee_sumamt": f"{wire.yuan(total)}",
            "psn_setlway": "01",
            "mdtrt_id": stay.visit_id,
            "insutype": stay.insurance_kind,
            "acct_used_flag": "1",
            "invono": invoice,
            "mid_setl_flag": "0",
            "fulamt_ownpay_amt": wire.yuan(full),
            "overlmt_selfpay": wire.yuan(over),
            "preselfpay_amt": wire.yuan(preceding),
            "inscp_scp_amt": wire.yuan(scope),
            "dscgTime": None,
            "exp_content": None,
        }

    async def pre_settle(self, stay: Stay) -> Answer:
        """2303 or 2206."""
        infno = "2303" if stay.is_inpatient else "2206"
        return await self.trade(infno, {"data": self.bill(stay)}, insurance_area=stay.insurance_area)

    async def discharge(self, stay: Stay, *, day: date) -> Answer:
        """2402."""
        info = {
            "mdtrt_id": stay.visit_id,
            "psn_no": stay.person.personal_number,
            "insutype": stay.insurance_kind,
            "endtime": f"{day.isoformat()} 10:00:00",
            "dise_codg": "",
            "dscg_dept_codg": "A03",
            "dscg_dept_name": "内科",
            "dscg_way": "1",
        }
        return await self.trade("2402", {"dscginfo": info, "diseinfo": []}, insurance_area=stay.insurance_area)

    async def settle(self, stay: Stay, *, msgid: str = "") -> Answer:
        """2304 or 2207."""
        infno = "2304" if stay.is_inpatient else "2207"
        return await self.trade(infno, {"data": self.bill(stay)}, insurance_area=stay.insurance_area, msgid=msgid)

    async def cancel(self, stay: Stay, settlement_id: str, *, msgid: str = "") -> Answer:
        """2305 or 2208."""
        data = {"mdtrt_id": stay.visit_id, "setl_id": settlement_id, "psn_no": stay.person.personal_number}
        infno = "2305" if stay.is_inpatient else "2208"
        return await self.trade(infno, {"data": data}, insurance_area=stay.insurance_area, msgid=msgid)

    async def reverse(self, stay: Stay, msgid: str, infno: str) -> Answer:
        """2601 of what was sent under a msgid."""
        data = {"psn_no": stay.person.personal_number, "omsgid": msgid, "oinfno": infno}
        return await self.trade("2601", {"data": data}, insurance_area=stay.insurance_area)

    async def query(self, stay: Stay, settlement_id: str = "") -> Answer:
        """5203."""
        data = {"psn_no": stay.person.personal_number, "setl_id": settlement_id, "mdtrt_id": stay.visit_id}
        return await self.trade("5203", {"data": data}, insurance_area=stay.insurance_area)
