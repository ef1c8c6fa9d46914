"""What a cashier reads is Chinese, with the reason's name; what is in English goes to the log."""

import re

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.cashier_text import cashier_text, log_text
from onecard_adapters.dialects.infno.core import LocalRefusal
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

Reason = errors_pb2.ErrorReason


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OneCardError(
                Reason.ERROR_REASON_FEE_MISMATCH,
                "5 lines are uploaded",
                violations=[("medfee_sumamt", "500011 fen stated, lines give 500010 fen"), ("preselfpay_amt", "odd")],
            ),
            "medfee_sumamt: 申报5000.11元，明细合计5000.10元 preselfpay_amt",
        ),
        (
            OneCardError(Reason.ERROR_REASON_LOCAL_FORM_INVALID, "input.data[0].certno: missing; the order"),
            "certno: 缺失",
        ),
        (
            OneCardError(
                Reason.ERROR_REASON_UNMAPPED_CODE,
                "input.data.med_type: local code '99' is not in table med_type version nhsa/1",
            ),
            "input.data.med_type: 代码'99'不在代码表med_type（版本nhsa/1）中",
        ),
        (OneCardError(Reason.ERROR_REASON_SIGN_IN_REQUIRED, "sign_no is missing, unknown or signed out"), "请先签到"),
        (OneCardError(Reason.ERROR_REASON_ENCOUNTER_UNKNOWN, "mdtrt_id is not registered for it"), "就诊未登记"),
        (
            OneCardError(
                Reason.ERROR_REASON_RECIPIENT_NOT_ALLOWED,
                "insuplc_admdvs 440300 lies in this province: send the trade to the province's own system",
            ),
            "insuplc_admdvs属于本省，请在本省系统办理",
        ),
        (LocalRefusal("2304", "-1", "该次就诊已结算"), "交易2304返回代码-1"),
        (LocalRefusal("2304", "-1", ""), "交易2304返回代码-1"),
        (OneCardError(Reason.ERROR_REASON_LOCAL_SYSTEM_DOWN, "ClientConnectorError at http://10.0.0.1"), "业务未执行"),
        (OutcomeInDoubt("the servicer took longer than 8 s"), "请查询或冲正"),
        (OneCardError(Reason.ERROR_REASON_NEVER_EXECUTED, "msgid was reversed before it came"), "该msgid已先行冲正"),
        (OneCardError(Reason.ERROR_REASON_UNSUPPORTED_TRADE, "infno 5101"), "infno 5101"),
    ],
)
def test_the_likely_refusals_are_chinese_but_for_names_and_codes(error: OneCardError, said: str) -> None:
    shown = cashier_text(error, "")
    assert shown.startswith(f"[{log_text(error).partition(' ')[0]}] ")
    assert said in shown
    assert not re.search(r"[a-z]{2,} [a-z]{2,} ", shown), "no English sentence"
    assert error.detail in log_text(error)


def test_an_error_of_form_keeps_a_detail_that_only_a_programmer_can_use() -> None:
    error = OneCardError(Reason.ERROR_REASON_LOCAL_FORM_INVALID, "JSON line 1 column 30 (character 29): Expecting")
    assert "line 1 column 30" in cashier_text(error, "")


def test_what_a_local_system_said_comes_first() -> None:
    error = OneCardError(Reason.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM)
    assert cashier_text(error, "余额不足").startswith("[REFUSED_BY_LOCAL_SYSTEM] 余额不足 本地系统拒绝")
