"""The output nodes of the insured province's answers, with the names and quirks of the raw samples."""

from collections.abc import Sequence
from typing import Any

from onecard_stubs.guangdong import wire
from onecard_stubs.guangdong.records import Filing, Settlement, Visit
from onecard_stubs.policy import Split, VisitKind, person_class_of
from onecard_stubs.population import Person

_FUND_NAMES = {
    "310100": "城镇职工基本医疗保险统筹基金",
    "310200": "城镇职工基本医疗保险个人账户基金",
    "320100": "公务员医疗补助基金",
    "330100": "大额医疗费用补助基金",
    "390100": "城乡居民基本医疗保险基金",
    "390200": "城乡居民大病医疗保险资金",
    "999996": "医院负担",
}


def coverage(person: Person, filings: Sequence[Filing], balances: Sequence[int]) -> dict[str, Any]:
    """1101: everything the person is enrolled in, active and paused, with the account's balance of each, in fen."""
    return {
        "idetinfo": [],
        "baseinfo": {
            "certno": person.identity_number,
            "psn_no": person.personal_number,
            "gend": person.sex,
            "exp_content": None,
            "brdy": person.birth_day.isoformat(),
            "naty": person.ethnicity,
            "psn_cert_type": "01",
            "psn_name": person.name,
            "age": wire.now().year - person.birth_day.year,
        },
        "insuinfo": [
            {
                "insuplc_admdvs": enrolment.insurance_area,
                "psn_insu_date": enrolment.first_day.isoformat(),
                "cvlserv_flag": "1" if enrolment.is_civil_servant else "0",
                "balc": wire.yuan(balance_fen),
                "emp_name": enrolment.employer_name,
                "psn_type": enrolment.person_class,
                "psn_insu_stas": enrolment.status.value,
                "insutype": enrolment.insurance_kind,
                "paus_insu_date": None if enrolment.last_day is None else enrolment.last_day.isoformat(),
            }
            for enrolment, balance_fen in zip(person.enrolments, balances, strict=True)
        ],
        "filinginfo": [
            {
                "trt_dcla_detl_sn": filing.filing_id,
                "filing_type": filing.filing_type,
                "insu_admdvs": filing.insurance_area,
                "rloc_admdvs": filing.destination_area,
                "begndate": filing.first_day.isoformat(),
                "enddate": None if filing.last_day is None else filing.last_day.isoformat(),
                "insutype": filing.insurance_kind or None,
                "trafout_fixmedins_code": filing.institution_code or None,
            }
            for filing in filings
        ],
    }


def settled(visit: Visit, split: Split, *, person_type: str, msgid: str, sign: int = 1) -> dict[str, Any]:
    """setlinfo and setldetail; a red record (sign -1) leaves the two parts null, as the raw ones do."""
    is_red = sign < 0
    info: dict[str, Any] = {
        name: wire.yuan(sign * amount)
        for name, amount in {
            "medfee_sumamt": split.total_fen,
            "fulamt_ownpay_amt": split.full_self_pay_fen,
            "overlmt_selfpay": split.over_limit_fen,
            "preselfpay_amt": split.preceding_fen,
            "inscp_scp_amt": split.in_scope_fen,
            "act_pay_dedc": split.deductible_fen,
            "hifp_pay": split.pooling_fund_fen,
            "cvlserv_pay": split.civil_servant_fund_fen,
            "hifes_pay": split.enterprise_fund_fen,
            "hifmi_pay": split.serious_illness_fund_fen,
            "hifob_pay": split.large_amount_fund_fen,
            "maf_pay": split.assistance_fund_fen,
            "oth_pay": split.other_fund_fen,
            "fund_pay_sumamt": split.fund_total_fen,
            "acct_pay": split.personal_account_fen,
            "psn_cash_pay": split.cash_fen,
        }.items()
    }
    info.update(
        {
            "hosp_part_amt": None if is_red else wire.yuan(split.hospital_part_fen),
            "psn_part_amt": None if is_red else wire.yuan(split.personal_part_fen),
            "acct_mulaid_pay": None if is_red else wire.yuan(0),
            "pool_prop_selfpay": wire.yuan(split.pooling_ratio_e4 // 100),
            "balc": wire.yuan(split.account_balance_fen),
            "psn_no": visit.personal_number,
            "mdtrt_id": visit.visit_id,
            "insutype": visit.insurance_kind,
            "med_type": visit.med_type,
            "psn_type": person_type,
            "setl_id": None,
            "setl_time": None,
            "clr_optins": None,
            "clr_way": None,
            "clr_type": "21" if visit.kind is VisitKind.INPATIENT else "11",
            "medins_setl_id": msgid,
        }
    )
    return {"setlinfo": info, "setldetail": _details(split, person_type, sign), "expContent": None}


def _details(split: Split, person_type: str, sign: int) -> list[dict[str, Any]]:
    is_employee = person_class_of(person_type).is_employee_insurance
    paid = {
        "310100" if is_employee else "390100": split.pooling_fund_fen,
        "330100": split.large_amount_fund_fen,
        "390200": split.serious_illness_fund_fen,
        "320100": split.civil_servant_fund_fen,
        # Neither is a fund, and both stand in the list all the same.
        "310200": split.personal_account_fen,
        "999996": split.hospital_part_fen,
    }
    return [
        {
            "fund_pay_type": fund_type,
            "fund_payamt": wire.yuan(sign * amount),
            "setl_proc_info": None,
            "crt_payb_lmt_amt": None,
            "inscp_scp_amt": wire.yuan(sign * split.in_scope_fen),
            "fund_pay_type_name": _FUND_NAMES[fund_type],
        }
        for fund_type, amount in paid.items()
        if amount
    ]


def of_settlement(record: Settlement) -> dict[str, Any]:
    """2207, 2304 and their red records."""
    sign = 1 if record.original is None else -1
    output = settled(record.visit, record.split, person_type=record.person_type, msgid=record.msgid, sign=sign)
    output["setlinfo"].update(
        setl_id=record.settlement_id,
        setl_time=wire.clock(record.time),
        clr_optins=record.visit.insurance_area,
        clr_way="1",
    )
    if record.original is not None:
        output["setlinfo"]["init_setl_id"] = record.original.settlement_id
    return output


def queried(records: Sequence[Settlement]) -> dict[str, Any]:
    """5203: names of its own for the person's shares; one record as an object, others as a list with their details."""
    sheets = []
    for record in records:
        output = of_settlement(record)
        info = output["setlinfo"]
        info["psn_pay"] = info.pop("psn_part_amt")
        info["cash_payamt"] = info.pop("psn_cash_pay")
        info["refd_setl_flag"] = "0" if record.original is None else "1"
        info["vali_flag"] = "1" if record.is_valid else "0"
        sheets.append((info, output["setldetail"]))
    if len(sheets) == 1:
        return {"setlinfo": sheets[0][0], "setldetail": sheets[0][1]}
    return {"setlinfo": [{**info, "setldetail": details} for info, details in sheets]}
