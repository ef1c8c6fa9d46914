"""What a counter reads of a verdict on a card, in Chinese, and the question that it asks."""

from __future__ import annotations

from typing import Final

from onecard.card.v1 import status_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2

PURPOSE: Final = "counter"

_TEXTS: Final = {
    status_pb2.CARD_VERDICT_VALID: "社保卡状态正常",
    status_pb2.CARD_VERDICT_UNKNOWN_CARD: "持卡库中没有该人员的此卡，请核对卡号和社会保障号码",
    status_pb2.CARD_VERDICT_MISMATCH: "卡识别码与持卡库不符，请收存该卡并核实持卡人身份",
    status_pb2.CARD_VERDICT_NOT_ENABLED: "社保卡尚未启用，请先办理领卡启用",
    status_pb2.CARD_VERDICT_TEMPORARILY_LOST: "社保卡已临时挂失，不能使用",
    status_pb2.CARD_VERDICT_LOST: "社保卡已正式挂失，不能使用",
    status_pb2.CARD_VERDICT_LOCKED: "社保卡应用已锁定，请先办理解锁",
    status_pb2.CARD_VERDICT_CANCELLED: "社保卡已注销，不能使用",
    status_pb2.CARD_VERDICT_SUPERSEDED: "新卡已启用，原卡失效，请使用新卡",
    status_pb2.CARD_VERDICT_EXPIRED: "社保卡已过有效期，请办理换卡",
    status_pb2.CARD_VERDICT_STALE: "暂时无法核实卡状态，请稍后再试",
}
_UNKNOWN: Final = "卡状态无法判断，请稍后再试"


def verdict_text(verdict: status_pb2.CardVerdict) -> str:
    """Why a card may be used, or why not and what to do; a verdict of a later release is not taken for a yes."""
    return _TEXTS.get(verdict, _UNKNOWN)


def question(
    person: exchange_values_pb2.PersonIdentity,
    *,
    card_number: str,
    recognition_code: str,
    electronic_card_id: str = "",
    terminal: str,
) -> status_pb2.VerifyCardRequest:
    """The question of a counter or terminal."""
    return status_pb2.VerifyCardRequest(
        person=person,
        card_number=card_number,
        recognition_code=recognition_code.upper(),
        electronic_card_id=electronic_card_id,
        purpose=PURPOSE,
        terminal=terminal,
    )
