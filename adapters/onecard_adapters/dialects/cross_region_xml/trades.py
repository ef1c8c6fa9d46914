"""The table of trades: numbers, meaning, who calls whom, and where each form comes from.

A row with samples has the field names of those samples; a row without is ours, made in the same manner, because no
public source shows it. docs/dialects/cross-region-xml.md shows this table.
"""

import enum
from dataclasses import dataclass
from typing import Final


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
        ),
        Trade(
            number=TradeNumber.REGISTER,
            title="register a visit or an admission",
            title_zh="就诊登记",
            has_effect=True,
            national_method=f"{_MEDICAL}EncounterService/Register",
        ),
        Trade(
            number=TradeNumber.DISCHARGE,
            title="register a discharge",
            title_zh="出院登记",
            has_effect=True,
            national_method=f"{_MEDICAL}EncounterService/Discharge",
        ),
        Trade(
            number=TradeNumber.FILE,
            title="ask the insured province to file",
            title_zh="异地就医备案",
            has_effect=True,
            national_method=f"{_MEDICAL}FilingService/File",
        ),
        Trade(
            number=TradeNumber.WITHDRAW_FILING,
            title="take a filing back",
            title_zh="备案撤销",
            has_effect=True,
            national_method=f"{_MEDICAL}FilingService/WithdrawFiling",
        ),
        Trade(
            number=TradeNumber.REPORT_FILING,
            title="tell the place of care of a filing that stands",
            title_zh="备案上报",
            has_effect=True,
            national_method=f"{_MEDICAL}FilingService/ReportFiling",
        ),
        Trade(
            number=TradeNumber.UPLOAD_LINES,
            title="upload fee lines",
            title_zh="费用明细上传",
            has_effect=True,
            national_method=f"{_MEDICAL}EncounterService/UploadFeeLines",
        ),
        Trade(
            number=TradeNumber.WITHDRAW_LINES,
            title="take fee lines back; otransid 0 and no ykc610 means all",
            title_zh="费用明细撤销",
            has_effect=True,
            national_method=f"{_MEDICAL}EncounterService/WithdrawFeeLines",
            samples=("xml-legacy/gd-0302-undo-all-details-req.xml",),
        ),
        Trade(
            number=TradeNumber.TRIAL_SETTLEMENT,
            title="trial settlement; the form of 0304",
            title_zh="模拟结算",
            has_effect=False,
            national_method=f"{_MEDICAL}SettlementService/PreSettle",
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
        ),
        Trade(
            number=TradeNumber.CANCEL,
            title="cancel a settlement by a red record",
            title_zh="结算撤销",
            has_effect=True,
            national_method=f"{_MEDICAL}SettlementService/CancelSettlement",
        ),
        Trade(
            number=TradeNumber.REVERSE,
            title="reverse the transaction otransid",
            title_zh="冲正",
            has_effect=True,
            national_method=f"{_MEDICAL}SettlementService/Reverse",
        ),
        Trade(
            number=TradeNumber.QUERY_TOTALS,
            title="totals of a visit's lines by the catalogue of the place of care",
            title_zh="就诊费用合计查询",
            has_effect=False,
            national_method="",
        ),
        Trade(
            number=TradeNumber.QUERY_LINES,
            title="page through a visit's fee lines",
            title_zh="费用明细查询",
            has_effect=False,
            national_method="",
            samples=("xml-legacy/gd-0707-query-details-req.xml",),
        ),
        Trade(
            number=TradeNumber.QUERY_TRANSACTION,
            title="what became of the transaction otransid, or of the settlement ykc618",
            title_zh="交易结果查询",
            has_effect=False,
            national_method=f"{_MEDICAL}SettlementService/QuerySettlement",
        ),
    )
}


def trade_of(number: str) -> Trade | None:
    """The trade of a TransNo; None if this dialect has none of that number."""
    try:
        return TRADES[TradeNumber(number)]
    except ValueError:
        return None
