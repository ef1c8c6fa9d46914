"""The table of trades: numbers, meaning, who calls whom, and where each form comes from.

A row with samples has the field names of those samples; a row without is ours, made in the same manner, because no
public source shows it. docs/dialects/cross-region-xml.md shows this table; what the documents carry is shown by
docs/dialects/cross-region-xml-fields.md, and proved by tests that hear the calls.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from onecard_adapters.dialects.cross_region_xml import forms
from onecard_adapters.mapping.fields import FieldMap


class TradeNumber(enum.StrEnum):
    """TransNo."""

    IDENTIFY = "0211"
    REGISTER = "0212"
    DISCHARGE = "0214"
    FILE = "0221"
    WITHDRAW_FILING = "0222"
    REPORT_FILING = "0223"
    UPLOAD_LINES = "0301"
    WITHDRAW_LINES = "0302"
    TRIAL_SETTLEMENT = "0303"
    SETTLE = "0304"
    CANCEL = "0305"
    REVERSE = "0306"
    QUERY_TOTALS = "0706"
    QUERY_LINES = "0707"
    QUERY_TRANSACTION = "0708"


ELEMENTS: Final[Mapping[str, str]] = {
    "transid": "number of the transaction, at most 32 printable ASCII characters; a hospital may leave it out",
    "aab299": "area of the place of care; of a filing its destination",
    "yab600": "the same area",
    "akb026": "code of the institution, as the profile lists it; a hospital's call needs it",
    "akb021": "its name",
    "ykc700": "number of the visit, given by the own core when it is registered; needed from then on",
    "aab301": "insured area, six digits; needed, for it says which province is asked",
    "yab060": "empty; of the samples",
    "aac001": "personal number in the insured area; needed in 0221, 0222 and 0223",
    "aac002": "a citizen's number, 18 characters; else empty",
    "aac043": "kind of the certificate, code table `psn_cert_type`; where it is left out a citizen's number is meant",
    "aac044": "number of the certificate; 0211, 0221, 0222 and 0223 need it, or `aac002` in its place",
    "aae011": "operator: the profile's `operator_code` where the adapter asks",
    "aae036": "day of the request",
    "aae013": "remark; in 0222 the cause",
    "ake007": "day asked for; today where it is left out",
    "otransid": "`transid` of the original; in 0302 `0` means all lines, and empty that `ykc610` names them",
    "startrow": "first line of the page, counted from 1",
    "ykc610": "line that is meant",
    "ykc618": "number of the settlement, on a red record its own; 0305 needs it",
    "ykc621": "moment of it, yyyyMMddHHmmss; where a core leaves it out the day of the request counts",
    "ykc675": "class of the settlement, echoed: the profile's `settlement_class` where the adapter asks",
    "ykc690": "count of the lines",
    "ykc701": "state of the original: 0 never executed, 1 executed, 2 undone; needed",
    "ykc901": "number of the filing; needed",
    "aae140": "kind of insurance, code table `insutype`: which of several enrolments is meant",
    "yzc001": "number of the settlement that the red record cancels",
}
"""What stands beside the fields of the maps of `forms`, by its meaning."""

HEAD: Final = (
    *("transid", "aab299", "yab600", "akb026", "akb021", "ykc700", "aab301", "yab060"),
    *("aac001", "aac002", "aac043", "aac044", "aae011", "aae036"),
)
"""Elements with which every request begins (`heads.write_head`)."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A list of a document."""

    name: str
    of: FieldMap | str
    """What each row holds: the fields of a map, or one of ELEMENTS."""


Part = FieldMap | Rows | str
"""Of a document: the fields of a map, a list, or one of ELEMENTS."""

_SPLIT: Final = (forms.SPLIT, Rows("detail", forms.FUND_ITEM))
_SETTLED: Final = ("ykc618", "ykc621", "ykc675", *_SPLIT)
_CANCELLED: Final = ("ykc618", "yzc001", "ykc621", *_SPLIT)
_COMPLETED: Final = (
    "Of the terms a hospital needs to send `akc264` alone: its fees must be those of the lines (0706), and what it "
    "leaves out is as it was registered."
)
_TOTALS: Final = ("ykc690", forms.FEE_TOTALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One trade."""

    number: TradeNumber
    title: str
    title_zh: str
    has_effect: bool
    """Whether the local system changes by it; such a request carries a transid of its own."""
    national_method: str
    """The method that it stands for; empty where it stays between an adapter and its own core."""
    samples: tuple[str, ...] = ()
    """Files under tests/samples whose form it has; none means that the form is ours."""
    request: tuple[Part, ...] = ()
    """What `input` carries besides the head."""
    answer: tuple[Part, ...]
    """What `output` carries that is read, or written."""
    note: str = ""
    """Who sends what of it, where that differs."""


_MEDICAL: Final = "/onecard.medical.v1."

TRADES: Final[dict[TradeNumber, Trade]] = {
    trade.number: trade
    for trade in (
        Trade(
            number=TradeNumber.IDENTIFY,
            title="identify a person: enrolments, filings, balance",
            title_zh="身份识别",
            has_effect=False,
            national_method=f"{_MEDICAL}CoverageService/QueryCoverage",
            samples=(
                "soap/gd-STYDJKService-req.xml",
                "soap/gd-DataExchangeServiceEnc-req.xml",
                "xml-legacy/gd-0211-identify-req.xml",
                "xml-legacy/gd-0211-identify-resp.xml",
            ),
            request=("ake007", "aae140"),
            answer=(
                *("aac001", "aac002", "aac043", "aac044", "aab301", "yab060"),
                *(forms.PERSON_DETAILS, forms.ENROLMENT),
                *(Rows("detail", forms.ENROLMENT), Rows("filings", forms.FILING)),
            ),
            note=(
                "The elements beside the lists are the sample's own, of one enrolment; without `detail` they are "
                "all that is told."
            ),
        ),
        Trade(
            number=TradeNumber.REGISTER,
            title="register a visit or an admission",
            title_zh="就诊登记",
            has_effect=True,
            national_method=f"{_MEDICAL}EncounterService/Register",
            request=(forms.REGISTRATION, Rows("detail", forms.DIAGNOSIS)),
            answer=("ykc700",),
            note=(
                "The own core of the place of care answers the number that it gives the visit; the insured province's "
                "gets it in the head, and of its answer nothing is read."
            ),
        ),
        Trade(
            number=TradeNumber.DISCHARGE,
            title="register a discharge",
            title_zh="出院登记",
            has_effect=True,
            national_method=f"{_MEDICAL}EncounterService/Discharge",
            request=(forms.DISCHARGE, Rows("detail", forms.DIAGNOSIS)),
            answer=("ykc700",),
            note="The hospital gets the answer of its own core as it is; of the insured province's nothing is read.",
        ),
        Trade(
            number=TradeNumber.FILE,
            title="ask the insured province to file",
            title_zh="异地就医备案",
            has_effect=True,
            national_method=f"{_MEDICAL}FilingService/File",
            request=(forms.FILING, forms.PERSON_DETAILS),
            answer=("ykc901",),
            note="Asked for, a filing has no `ykc901` yet.",
        ),
        Trade(
            number=TradeNumber.WITHDRAW_FILING,
            title="take a filing back",
            title_zh="备案撤销",
            has_effect=True,
            national_method=f"{_MEDICAL}FilingService/WithdrawFiling",
            request=("ykc901", "aae013"),
            answer=("ykc901",),
            note="Of a core's answer nothing is read.",
        ),
        Trade(
            number=TradeNumber.REPORT_FILING,
            title="tell the place of care of a filing that stands",
            title_zh="备案上报",
            has_effect=True,
            national_method=f"{_MEDICAL}FilingService/ReportFiling",
            request=(forms.FILING, forms.PERSON_DETAILS),
            answer=("ykc901",),
            note="Told, a filing has its `ykc901`.",
        ),
        Trade(
            number=TradeNumber.UPLOAD_LINES,
            title="upload fee lines",
            title_zh="费用明细上传",
            has_effect=True,
            national_method=f"{_MEDICAL}EncounterService/UploadFeeLines",
            request=(Rows("detail", forms.FEE_LINE),),
            answer=(*_TOTALS, Rows("detail", forms.FEE_LINE)),
            note=(
                "1 to 100 lines. Of a hospital's rows the adapter reads `ykc610`, which is needed, and `akc227`; "
                "the own core gets them as they are and answers each line once, split, in `detail`. The insured "
                "province's gets the lines split and answers the totals."
            ),
        ),
        Trade(
            number=TradeNumber.WITHDRAW_LINES,
            title="take fee lines back; otransid 0 and no ykc610 means all",
            title_zh="费用明细撤销",
            has_effect=True,
            national_method=f"{_MEDICAL}EncounterService/WithdrawFeeLines",
            samples=("xml-legacy/gd-0302-undo-all-details-req.xml",),
            request=("otransid", "ykc610", Rows("detail", "ykc610")),
            answer=_TOTALS,
            note=(
                "The insured province's core answers the totals that are left; the hospital gets the answer of its "
                "own core as it is."
            ),
        ),
        Trade(
            number=TradeNumber.TRIAL_SETTLEMENT,
            title="trial settlement; the form of 0304",
            title_zh="模拟结算",
            has_effect=False,
            national_method=f"{_MEDICAL}SettlementService/PreSettle",
            request=("ykc675", "aae013", forms.TERMS),
            answer=("ykc675", *_SPLIT),
            note=_COMPLETED,
        ),
        Trade(
            number=TradeNumber.SETTLE,
            title="settle",
            title_zh="结算",
            has_effect=True,
            national_method=f"{_MEDICAL}SettlementService/Settle",
            samples=(
                "xml-legacy/gd-0304-settle-req.xml",
                "xml-legacy/gd-0304-settle-resp.xml",
                "xml-legacy/gd-0304-settle-resp-failed.xml",
            ),
            request=("ykc675", "aae013", forms.TERMS),
            answer=_SETTLED,
            note=_COMPLETED,
        ),
        Trade(
            number=TradeNumber.CANCEL,
            title="cancel a settlement by a red record",
            title_zh="结算撤销",
            has_effect=True,
            national_method=f"{_MEDICAL}SettlementService/CancelSettlement",
            request=("ykc618",),
            answer=_CANCELLED,
        ),
        Trade(
            number=TradeNumber.REVERSE,
            title="reverse the transaction otransid",
            title_zh="冲正",
            has_effect=True,
            national_method=f"{_MEDICAL}SettlementService/Reverse",
            request=("otransid",),
            answer=("otransid", "ykc701", "ykc621"),
            note=(
                "The insured province's core gets `transid` and `otransid` without the rest of the head; a core "
                "needs to answer `ykc701` alone."
            ),
        ),
        Trade(
            number=TradeNumber.QUERY_TOTALS,
            title="totals of a visit's lines by the catalogue of the place of care",
            title_zh="就诊费用合计查询",
            has_effect=False,
            national_method="",
            answer=_TOTALS,
        ),
        Trade(
            number=TradeNumber.QUERY_LINES,
            title="page through a visit's fee lines",
            title_zh="费用明细查询",
            has_effect=False,
            national_method="",
            samples=("xml-legacy/gd-0707-query-details-req.xml",),
            request=("startrow",),
            answer=("ykc690", Rows("detail", forms.FEE_LINE)),
            note="The hospital gets the answer of its own core as it is.",
        ),
        Trade(
            number=TradeNumber.QUERY_TRANSACTION,
            title="what became of the transaction otransid, or of the settlement ykc618",
            title_zh="交易结果查询",
            has_effect=False,
            national_method=f"{_MEDICAL}SettlementService/QuerySettlement",
            request=("otransid", "ykc618"),
            answer=("otransid", "ykc701", *_SETTLED, "yzc001"),
            note=(
                "Either `otransid` or `ykc618` is needed; a core gets them without the head. Beside the state "
                "stands all that the original was answered with: here a settlement or its red record, at the own "
                "core any trade with effect."
            ),
        ),
    )
}


def trade_of(number: str) -> Trade | None:
    """The trade of a TransNo; None if this dialect has none of that number."""
    try:
        return TRADES[TradeNumber(number)]
    except ValueError:
        return None
