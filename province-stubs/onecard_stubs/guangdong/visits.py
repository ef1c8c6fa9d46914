"""Visits, stays and their fee lines: numbered, split by the catalogue, taken back, discharged."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from onecard_stubs.fee_lines import fees_of, fitted
from onecard_stubs.guangdong import wire
from onecard_stubs.guangdong.catalogue import Catalogue
from onecard_stubs.guangdong.records import Line, Refused, Visit, day_of, quantity_of
from onecard_stubs.policy import VisitKind

LINES_MAX = 100
_ALL = "0000"
_Changed = dict[str, tuple[Visit, dict[str, Line]]]
"""Visits by their number, with what their lines become."""


class Visits:
    """The visits that this core numbered."""

    def __init__(self, catalogue: Catalogue, province_area: str) -> None:
        self._catalogue = catalogue
        self._province = province_area[:2]
        self._visits: dict[str, Visit] = {}
        self._by_institution_number: dict[tuple[str, str], str] = {}
        self._sequence = 0
        self.settled: Callable[[Visit], bool] = lambda visit: False
        """Whether a visit has a standing settlement; the benefits set it."""

    def trades(self) -> dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]]:
        """Trades by number."""
        return {
            "2201": self._register_visit,
            "2401": self._register_stay,
            "2202": self._undo_registration,
            "2404": self._undo_registration,
            "2204": self._upload,
            "2301": self._upload,
            "2205": self._withdraw,
            "2302": self._withdraw,
            "2402": self._discharge,
        }

    def find(self, visit_id: object, personal_number: object) -> Visit:
        """The visit of this person; Refused if there is none."""
        visit = self._visits.get(str(visit_id))
        if visit is None or visit.personal_number != str(personal_number):
            raise Refused("就诊记录不存在")
        return visit

    def _register_visit(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        data = content["data"]
        visit = self._new(head, data, data["ipt_otp_no"], str(data.get("med_type") or "11"), VisitKind.OUTPATIENT)
        return {
            "data": {
                "psn_no": visit.personal_number,
                "mdtrt_id": visit.visit_id,
                "exp_content": None,
                "ipt_otp_no": visit.institution_number,
            }
        }

    def _register_stay(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        info = content["mdtrtinfo"]
        visit = self._new(head, info, info["ipt_no"], str(info["med_type"]), VisitKind.INPATIENT)
        return {"result": {"mdtrt_id": visit.visit_id, "exp_content": None}}

    def _new(
        self, head: Mapping[str, Any], info: Mapping[str, Any], number: object, med_type: str, kind: VisitKind
    ) -> Visit:
        institution = str(head["fixmedins_code"])
        key = (institution, str(number))
        # 住院/门诊号不可重复
        if key in self._by_institution_number:
            raise Refused("住院/门诊号重复")
        self._sequence += 1
        area = str(head["mdtrtarea_admvs"])
        visit = Visit(
            visit_id=f"S{area}{wire.now():%y%m%d}{self._sequence:07d}",
            personal_number=str(info["psn_no"]),
            institution_code=institution,
            institution_number=str(number),
            kind=kind,
            med_type=med_type,
            insurance_kind=str(info["insutype"]),
            insurance_area=str(head["insuplc_admdvs"]),
            place_area=area,
            first_day=day_of(info["begntime"]),
        )
        self._visits[visit.visit_id] = visit
        self._by_institution_number[key] = visit.visit_id
        return visit

    def _undo_registration(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        data = content["data"]
        visit = self.find(data["mdtrt_id"], data["psn_no"])
        if visit.lines:
            raise Refused("已有费用明细，不能撤销")
        del self._visits[visit.visit_id]
        del self._by_institution_number[(visit.institution_code, visit.institution_number)]
        return {}

    def _upload(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        rows: Sequence[Mapping[str, Any]] = content["feedetail"]
        if not 1 <= len(rows) <= LINES_MAX:
            raise Refused("每次上传明细应为1至100条")
        changed: _Changed = {}
        told = []
        for row in rows:
            visit = self.find(row["mdtrt_id"], row["psn_no"])
            if self.settled(visit):
                raise Refused("已结算，不能上传明细")
            lines = _lines_of(visit, changed)
            is_own = visit.insurance_area[:2] == self._province
            line = _classified(row) if is_own else self._split(row, lines)
            if line.line_id in lines:
                raise Refused("费用明细流水号重复")
            lines[line.line_id] = line
            told.append(line.row)
        _carry_out(changed)
        return {"result": told}

    def _split(self, row: Mapping[str, Any], held: Mapping[str, Line]) -> Line:
        quantity, price = quantity_of(row["cnt"]), Decimal(str(row["pric"]))
        amount_fen = wire.fen(row["det_item_fee_sumamt"])
        if amount_fen != wire.fen(quantity * price):
            raise Refused("费用明细金额与单价数量不符")
        split = self._catalogue.split(str(row["med_list_codg"]), amount_fen=amount_fen, quantity=quantity)
        item, returned_line_id = split.item, str(row.get("init_feedetl_sn") or "")
        parts = split.full_self_pay_fen, split.over_limit_fen, split.preceding_fen, split.in_scope_fen
        full_self_pay_fen, over_limit_fen, preceding_fen, in_scope_fen = fitted(parts, returned_line_id, held)
        return Line(
            line_id=str(row["feedetl_sn"]),
            returned_line_id=returned_line_id,
            batch=str(row.get("chrg_bchno") or ""),
            amount_fen=split.amount_fen,
            full_self_pay_fen=full_self_pay_fen,
            over_limit_fen=over_limit_fen,
            preceding_fen=preceding_fen,
            in_scope_fen=in_scope_fen,
            row={
                "feedetl_sn": str(row["feedetl_sn"]),
                "det_item_fee_sumamt": wire.yuan(split.amount_fen),
                "cnt": quantity,
                "pric": price,
                "pric_uplmt_amt": item.limit if item.limit is not None else wire.NO_LIMIT,
                "selfpay_prop": item.ratio,
                "fulamt_ownpay_amt": wire.yuan(full_self_pay_fen),
                "overlmt_amt": wire.yuan(over_limit_fen),
                "preselfpay_amt": wire.yuan(preceding_fen),
                "inscp_scp_amt": wire.yuan(in_scope_fen),
                "chrgitm_lv": item.level,
                "med_chrgitm_type": item.charge,
                "bas_medn_flag": "0",
                "hi_nego_drug_flag": "0",
                "drt_reim_flag": "0",
                "lmt_used_flag": "0",
            },
        )

    def _withdraw(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        data = content["data"]
        changed: _Changed = {}
        for row in data if isinstance(data, list) else [data]:
            visit = self.find(row["mdtrt_id"], row["psn_no"])
            if self.settled(visit):
                raise Refused("已结算，不能撤销明细")
            numbers = row.get("feedetl_sn")
            wanted = {str(number) for number in (numbers if isinstance(numbers, list) else [numbers]) if number}
            batch = str(row.get("chrg_bchno") or "")
            lines = _lines_of(visit, changed)
            if _ALL in wanted or batch == _ALL:
                lines.clear()
                continue
            found = [line for line in lines.values() if line.line_id in wanted or (batch and line.batch == batch)]
            if not found:
                raise Refused("费用明细不存在")
            for line in found:
                del lines[line.line_id]
        _carry_out(changed)
        return {}

    def _discharge(self, head: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        info = content["dscginfo"]
        visit = self.find(info["mdtrt_id"], info["psn_no"])
        last_day = day_of(info["endtime"])
        if last_day < visit.first_day:
            raise Refused("出院日期早于入院日期")
        visit.last_day = last_day
        return {}


def _lines_of(visit: Visit, changed: _Changed) -> dict[str, Line]:
    """The lines of a visit as the trade has changed them so far."""
    return changed.setdefault(visit.visit_id, (visit, dict(visit.lines)))[1]


def _carry_out(changed: _Changed) -> None:
    """Keep all changes of a trade, or none."""
    for _, lines in changed.values():
        try:
            fees_of(lines.values())
        except ValueError as error:
            raise Refused("退费明细与原明细不符") from error
    for visit, lines in changed.values():
        visit.lines = lines


def _classified(row: Mapping[str, Any]) -> Line:
    """A line that another province split already."""
    line = Line(
        line_id=str(row["feedetl_sn"]),
        returned_line_id=str(row.get("init_feedetl_sn") or ""),
        batch=str(row.get("chrg_bchno") or ""),
        amount_fen=wire.fen(row["det_item_fee_sumamt"]),
        full_self_pay_fen=wire.fen(row["fulamt_ownpay_amt"]),
        over_limit_fen=wire.fen(row["overlmt_amt"]),
        preceding_fen=wire.fen(row["preselfpay_amt"]),
        in_scope_fen=wire.fen(row["inscp_scp_amt"]),
        row={"feedetl_sn": str(row["feedetl_sn"]), "det_item_fee_sumamt": row["det_item_fee_sumamt"]},
    )
    if not line.is_sound:
        raise Refused("费用明细各部分的合计或正负与金额不符")
    return line
