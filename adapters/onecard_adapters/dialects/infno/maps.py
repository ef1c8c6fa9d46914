"""Field maps of the infno trades: one rule a field, read and written by the same rule.

The care role reads requests and writes answers by them, the insured role writes requests and reads answers, so the two
ends cannot drift apart. Names and their meaning: samples/infno and domain.md 1.3 to 1.7. Fields marked "ours" stand in
no source; they are additions that a client may leave out.
"""

from typing import Final

from onecard.medical.v1 import coverage_pb2, encounter_pb2, filing_pb2, settlement_pb2, values_pb2
from onecard_adapters.mapping.fields import (
    COUNT,
    DAY,
    FLAG,
    PRICE,
    PRICE_LIMIT,
    RATIO,
    TEXT,
    YUAN,
    FieldMap,
    Rule,
    code,
)


def _credential(prefix: str) -> list[Rule]:
    return [
        Rule(local="mdtrt_cert_type", national=f"{prefix}.kind", codec=code("mdtrt_cert_type")),
        Rule(local="mdtrt_cert_no", national=f"{prefix}.number", codec=TEXT),
        Rule(local="card_sn", national=f"{prefix}.card_recognition_code", codec=TEXT),
    ]


COVERAGE_REQUEST: Final = FieldMap(
    coverage_pb2.QueryCoverageRequest,
    [
        *_credential("credential"),
        Rule(local="begntime", national="day", codec=DAY),
        Rule(local="psn_cert_type", national="person.kind", codec=code("psn_cert_type")),
        Rule(local="certno", national="person.number", codec=TEXT),
        Rule(local="psn_name", national="details.name", codec=TEXT),
    ],
)
"""1101 input.data."""

BASE: Final = FieldMap(
    coverage_pb2.QueryCoverageResponse,
    [
        Rule(local="psn_no", national="insured_number.personal_number", codec=TEXT, is_required=True),
        Rule(local="psn_cert_type", national="person.kind", codec=code("psn_cert_type")),
        Rule(local="certno", national="person.number", codec=TEXT, is_required=True),
        Rule(local="psn_name", national="details.name", codec=TEXT),
        Rule(local="gend", national="details.sex", codec=code("gend")),
        Rule(local="brdy", national="details.birth_day", codec=DAY),
        Rule(local="naty", national="details.ethnicity", codec=code("naty")),
    ],
)
"""1101 output.baseinfo."""

ENROLMENT: Final = FieldMap(
    coverage_pb2.Enrolment,
    [
        # Null where the insured province's older form tells no kind: the counter then names it.
        Rule(local="insutype", national="insurance_kind", codec=code("insutype")),
        Rule(local="psn_insu_stas", national="status", codec=code("psn_insu_stas")),
        Rule(local="psn_type", national="person_class", codec=code("psn_type")),
        Rule(local="insuplc_admdvs", national="insurance_area", codec=TEXT, is_required=True),
        Rule(local="balc", national="account_balance_fen", codec=YUAN),
        Rule(local="psn_insu_date", national="first_day", codec=DAY),
        Rule(local="paus_insu_date", national="last_day", codec=DAY),
        Rule(local="emp_name", national="employer.name", codec=TEXT, absent_as=""),
        Rule(local="cvlserv_flag", national="is_civil_servant", codec=FLAG),
    ],
)
"""1101 output.insuinfo[]."""

STANDING_FILING: Final = FieldMap(
    filing_pb2.Filing,
    [
        Rule(local="trt_dcla_detl_sn", national="filing_id", codec=TEXT, is_required=True),
        Rule(local="filing_type", national="filing_type", codec=code("filing_type"), is_required=True),
        Rule(local="insu_admdvs", national="insurance_area", codec=TEXT),
        Rule(local="rloc_admdvs", national="destination_area", codec=TEXT, is_required=True),
        Rule(local="begndate", national="first_day", codec=DAY, is_required=True),
        Rule(local="enddate", national="last_day", codec=DAY),
        Rule(local="insutype", national="insurance_kind", codec=code("insutype")),
        Rule(local="trafout_fixmedins_code", national="institution_code", codec=TEXT),
        Rule(local="dcla_souc", national="channel", codec=code("dcla_souc")),
    ],
)
"""1101 output.filinginfo[] (ours, names of out_appy_d): filings that stand on the day asked for."""

_IDENTITY: Final = [
    Rule(local="psn_cert_type", national="person.kind", codec=code("psn_cert_type")),
    Rule(local="certno", national="person.number", codec=TEXT),
    Rule(local="psn_name", national="details.name", codec=TEXT),
]
FILING: Final = FieldMap(
    filing_pb2.FileRequest,
    [
        Rule(local="psn_no", national="insured_number.personal_number", codec=TEXT, is_required=True),
        Rule(local="insutype", national="filing.insurance_kind", codec=code("insutype")),
        Rule(local="tel", national="details.telephone", codec=TEXT),
        Rule(local="addr", national="details.address", codec=TEXT),
        Rule(local="insu_optins", national="filing.insurance_area", codec=TEXT),
        Rule(local="diag_code", national="filing.diagnosis.code", codec=TEXT),
        Rule(local="diag_name", national="filing.diagnosis.name", codec=TEXT),
        Rule(local="reflin_medins_no", national="filing.institution_code", codec=TEXT),
        # One client writes admdvs here and admvs in its header.
        Rule(
            local="mdtrtarea_admdvs",
            national="filing.destination_area",
            codec=TEXT,
            aliases=("mdtrtarea_admvs",),
            is_required=True,
        ),
        Rule(local="refl_type", national="filing.filing_type", codec=code("refl_type"), is_required=True),
        Rule(local="begndate", national="filing.first_day", codec=DAY, is_required=True),
        Rule(local="enddate", national="filing.last_day", codec=DAY),
        # Ours: the channel, and the identity of a person whom no 1101 told of.
        Rule(local="dcla_souc", national="filing.channel", codec=code("dcla_souc")),
        *_IDENTITY,
    ],
)
"""2501 input.refmedin."""

FILED: Final = FieldMap(
    filing_pb2.FileRequest,
    [Rule(local="trt_dcla_detl_sn", national="filing.filing_id", codec=TEXT, is_required=True), *_IDENTITY],
)
"""2501 output.result (ours): the filing's id, and whose it is."""

WITHDRAW_FILING: Final = FieldMap(
    filing_pb2.WithdrawFilingRequest,
    [
        Rule(local="psn_no", national="insured_number.personal_number", codec=TEXT, is_required=True),
        Rule(local="trt_dcla_detl_sn", national="filing_id", codec=TEXT, is_required=True),
        Rule(local="memo", national="cause", codec=TEXT),
    ],
)
"""2502 input.data."""

_REGISTER: Final = [
    Rule(local="psn_no", national="insured_number.personal_number", codec=TEXT, is_required=True),
    Rule(local="insutype", national="insurance_kind", codec=code("insutype"), is_required=True),
    Rule(local="begntime", national="first_day", codec=DAY, is_required=True),
    *_credential("credential"),
    Rule(local="med_type", national="care_kind", codec=code("med_type")),
    # Ours: the filing that the cashier chose where several stand.
    Rule(local="trt_dcla_detl_sn", national="filing_id", codec=TEXT),
]
VISIT: Final = FieldMap(
    encounter_pb2.RegisterRequest,
    [
        *_REGISTER,
        Rule(local="ipt_otp_no", national="institution_number", codec=TEXT, is_required=True),
        Rule(local="dept_name", national="department_name", codec=TEXT),
    ],
)
"""2201 input.data."""
STAY: Final = FieldMap(
    encounter_pb2.RegisterRequest,
    [
        *_REGISTER,
        Rule(local="ipt_no", national="institution_number", codec=TEXT, is_required=True),
        Rule(local="adm_dept_name", national="department_name", codec=TEXT),
    ],
)
"""2401 input.mdtrtinfo."""

DIAGNOSIS: Final = FieldMap(
    encounter_pb2.Diagnosis,
    [
        Rule(local="diag_type", national="kind", codec=code("diag_type")),
        Rule(local="diag_code", national="code", codec=TEXT, is_required=True),
        Rule(local="diag_name", national="name", codec=TEXT),
        Rule(local="diag_srt_no", national="order", codec=COUNT),
    ],
)
"""2401, 2402 input.diseinfo[]."""

DISCHARGE: Final = FieldMap(
    encounter_pb2.DischargeRequest,
    [
        Rule(local="psn_no", national="insured_number.personal_number", codec=TEXT, is_required=True),
        Rule(local="endtime", national="last_day", codec=DAY, is_required=True),
        Rule(local="dscg_way", national="discharge_way", codec=code("dscg_way")),
    ],
)
"""2402 input.dscginfo."""

_LINE: Final = [
    Rule(local="feedetl_sn", national="line_id", codec=TEXT, is_required=True),
    Rule(local="cnt", national="quantity_e4", codec=RATIO),
    Rule(local="pric", national="unit_price_e6", codec=PRICE),
    Rule(local="det_item_fee_sumamt", national="amount_fen", codec=YUAN),
]
_CLASSIFICATION: Final = [
    Rule(local="med_chrgitm_type", national="charge_class", codec=code("med_chrgitm_type")),
    Rule(local="chrgitm_lv", national="charge_level", codec=code("chrgitm_lv")),
    Rule(local="selfpay_prop", national="self_pay_ratio_e4", codec=RATIO),
    Rule(local="pric_uplmt_amt", national="price_limit_e6", codec=PRICE_LIMIT),
    Rule(local="fulamt_ownpay_amt", national="full_self_pay_fen", codec=YUAN),
    Rule(local="overlmt_amt", national="over_limit_self_pay_fen", codec=YUAN),
    Rule(local="preselfpay_amt", national="preceding_self_pay_fen", codec=YUAN),
    Rule(local="inscp_scp_amt", national="in_scope_fen", codec=YUAN),
]
_ITEM: Final = [
    Rule(local="init_feedetl_sn", national="returned_line_id", codec=TEXT, absent_as=""),
    Rule(local="med_list_codg", national="item_code", codec=TEXT),
    Rule(local="medins_list_codg", national="institution_item_code", codec=TEXT),
    Rule(local="medins_list_name", national="item_name", codec=TEXT),
    Rule(local="fee_ocur_time", national="day", codec=DAY),
]
FEE_LINE: Final = FieldMap(encounter_pb2.FeeLine, [*_LINE, *_ITEM])
"""2204, 2301 input.feedetail[] of a hospital."""
CLASSIFIED: Final = FieldMap(encounter_pb2.FeeLine, [*_LINE, *_CLASSIFICATION])
"""2204, 2301 output.result[]: a line as the catalogue of the place of care splits it."""
CLASSIFIED_LINE: Final = FieldMap(encounter_pb2.FeeLine, [*_LINE, *_ITEM, *_CLASSIFICATION])
"""2204, 2301 input.feedetail[] to the insured province's core (ours): classified already, by the place of care."""


def _fees(prefix: str) -> list[Rule]:
    return [
        Rule(local="medfee_sumamt", national=f"{prefix}total_fen", codec=YUAN, aliases=("med_fee_sumamt",)),
        Rule(local="fulamt_ownpay_amt", national=f"{prefix}full_self_pay_fen", codec=YUAN),
        Rule(local="overlmt_selfpay", national=f"{prefix}over_limit_self_pay_fen", codec=YUAN),
        Rule(
            local="preselfpay_amt",
            national=f"{prefix}preceding_self_pay_fen",
            codec=YUAN,
            aliases=("prese_ifpay_amt",),
        ),
        Rule(local="inscp_scp_amt", national=f"{prefix}in_scope_fen", codec=YUAN),
    ]


TERMS: Final = FieldMap(
    settlement_pb2.SettlementTerms,
    [
        Rule(local="psn_no", national="insured_number.personal_number", codec=TEXT, is_required=True),
        Rule(local="mdtrt_id", national="encounter.visit_id", codec=TEXT, is_required=True),
        *_credential("credential"),
        Rule(local="med_type", national="care_kind", codec=code("med_type")),
        Rule(local="insutype", national="insurance_kind", codec=code("insutype")),
        Rule(local="psn_setlway", national="settlement_way", codec=code("psn_setlway")),
        Rule(local="acct_used_flag", national="uses_personal_account", codec=FLAG),
        *_fees("fees."),
    ],
)
"""2206, 2207, 2303, 2304 input.data, without the interim period and the invoice."""


def _split(personal_part: str, cash: str, twins: tuple[tuple[str, ...], tuple[str, ...]]) -> FieldMap:
    return FieldMap(
        values_pb2.SettlementSplit,
        [
            *_fees(""),
            Rule(local="act_pay_dedc", national="deductible_fen", codec=YUAN),
            Rule(local="hifp_pay", national="pooling_fund_fen", codec=YUAN),
            Rule(local="pool_prop_selfpay", national="pooling_ratio_e4", codec=RATIO),
            Rule(local="cvlserv_pay", national="civil_servant_fund_fen", codec=YUAN),
            Rule(local="hifes_pay", national="enterprise_fund_fen", codec=YUAN),
            Rule(local="hifmi_pay", national="serious_illness_fund_fen", codec=YUAN),
            Rule(local="hifob_pay", national="large_amount_fund_fen", codec=YUAN),
            Rule(local="maf_pay", national="assistance_fund_fen", codec=YUAN),
            Rule(local="oth_pay", national="other_fund_fen", codec=YUAN),
            Rule(local="fund_pay_sumamt", national="fund_total_fen", codec=YUAN),
            Rule(local="hosp_part_amt", national="hospital_part_fen", codec=YUAN),
            Rule(local=personal_part, national="personal_part_fen", codec=YUAN, aliases=twins[0]),
            Rule(local="acct_pay", national="personal_account_fen", codec=YUAN),
            Rule(local=cash, national="cash_fen", codec=YUAN, aliases=twins[1]),
            Rule(local="acct_mulaid_pay", national="family_account_fen", codec=YUAN),
            Rule(local="balc", national="account_balance_fen", codec=YUAN),
            Rule(local="clr_optins", national="clearing_agency", codec=TEXT),
            Rule(local="clr_way", national="clearing_way", codec=code("clr_way")),
            Rule(local="clr_type", national="clearing_type", codec=code("clr_type")),
        ],
    )


SPLIT: Final = _split("psn_part_amt", "psn_cash_pay", (("psn_pay",), ("cashPayamt", "psnCash_pay", "cash_payamt")))
"""setlinfo of 2206, 2207, 2208, 2303, 2304, 2305."""
SPLIT_AS_QUERIED: Final = _split("psn_pay", "cash_payamt", (("psn_part_amt",), ("psn_cash_pay",)))
"""setlinfo of 5203, which names the person's shares otherwise."""

FUND_ITEM: Final = FieldMap(
    values_pb2.FundItem,
    [
        Rule(local="fund_pay_type", national="fund_type", codec=code("fund_pay_type"), is_required=True),
        Rule(local="inscp_scp_amt", national="in_scope_fen", codec=YUAN),
        Rule(local="crt_payb_lmt_amt", national="limit_fen", codec=YUAN),
        Rule(local="fund_payamt", national="paid_fen", codec=YUAN),
        Rule(local="setl_proc_info", national="process_information", codec=TEXT),
    ],
)
"""setldetail[]; whether the type is a fund stands in the code table."""
