"""The bank's JSON: a transaction code and a body; an answer has a return code, and 000000 is success. Ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from onecard.card.v1 import change_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.port import LocalAccount
from onecard_adapters.dialects import card_fields
from onecard_adapters.dialects.card_fields import invalid, required
from onecard_adapters.dialects.infno import json_text
from onecard_adapters.mapping.codes import CodeTables
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import PROVINCES
from onecard_protocol.identity import is_luhn_valid

NOTICE: Final = "SB1001"
"""账户变动通知: the bank to the adapter; `accounts`, at most ACCOUNTS_MAX."""
QUERY: Final = "SB2001"
"""账户查询: the adapter to the bank; `cards`; answered with the `accounts` that the bank has of them."""
SUCCESS: Final = "000000"
FAILED: Final = "E00001"
ACCOUNTS_MAX: Final = 500
FINANCIAL_STATE: Final = "financial_state"
BANK_TABLES: Final = (FINANCIAL_STATE, "aac058")
"""Tables without which no account is understood."""

Row = Mapping[str, Any]


def read_request(body: bytes) -> tuple[str, Mapping[str, Any]]:
    """Transaction code and body. Raises LOCAL_FORM_INVALID."""
    message = json_text.parse_object(body)
    content = message.get("body")
    if not isinstance(content, dict):
        raise invalid("body", "not an object")
    return required(message, "tranCode", "request"), content


def write_request(code: str, content: Mapping[str, object]) -> bytes:
    """A request."""
    return json_text.write({"tranCode": code, "body": content}).encode()


def read_answer(body: bytes) -> Mapping[str, Any]:
    """The body of an answer. Raises REFUSED_BY_LOCAL_SYSTEM with the bank's code, LOCAL_FORM_INVALID."""
    message = json_text.parse_object(body)
    code = required(message, "retCode", "answer")
    if code != SUCCESS:
        # Its words are free, and may hold a name: the code says enough.
        raise OneCardError(errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM, f"the bank answered {code[:8]}")
    content = message.get("body")
    if not isinstance(content, dict):
        raise invalid("body", "not an object")
    return content


def write_answer(code: str, text: str, content: Mapping[str, object]) -> bytes:
    """An answer."""
    return json_text.write({"retCode": code, "retMsg": text, "body": content}).encode()


def rows(content: Mapping[str, Any], name: str) -> list[Row]:
    """The objects of a list. Raises LOCAL_FORM_INVALID."""
    found = content.get(name)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise invalid(f"body.{name}", "not a list of objects")
    if len(found) > ACCOUNTS_MAX:
        raise invalid(f"body.{name}", f"more than {ACCOUNTS_MAX}")
    return found


def read_card(row: Row, at: str) -> values_pb2.CardReference:
    """Which card an account belongs to: the province that issued it, its number, its sequence."""
    issuer = f"cn-{required(row, 'issueProv', at)}"
    if issuer not in PROVINCES:
        raise invalid(f"{at}.issueProv", "not the two digits of a province")
    return values_pb2.CardReference(
        issuer=issuer,
        number=required(row, "ssCardNo", at),
        sequence=card_fields.read_sequence(row, "ssCardSeq", at),
    )


def write_card(card: values_pb2.CardReference) -> dict[str, str]:
    """The fields of `read_card`."""
    return {
        "issueProv": card.issuer.removeprefix("cn-"),
        "ssCardNo": card.number,
        "ssCardSeq": str(card.sequence or 1),
    }


def read_account(row: Row, tables: CodeTables, bank: str, at: str) -> LocalAccount:
    """An account. Raises LOCAL_FORM_INVALID, also for a bank card number with a wrong check digit, UNMAPPED_CODE."""
    status = required(row, "acctStatus", at)
    national = tables[FINANCIAL_STATE].to_national(status, f"{at}.acctStatus").code
    number = required(row, "cardNo", at)
    if not is_luhn_valid(number):
        raise invalid(f"{at}.cardNo", "fails Luhn's check")
    return LocalAccount(
        person=card_fields.read_person({"aac058": row.get("idType"), "aac002": required(row, "idNo", at)}, tables, at),
        card=read_card(row, at),
        state=cast(values_pb2.FinancialState, values_pb2.FinancialState.Value(f"FINANCIAL_STATE_{national}")),
        change=change_pb2.FINANCIAL_CHANGE_UNSPECIFIED,
        occurred_ms=card_fields.time_ms(row, "updTime", at),
        local_status=exchange_values_pb2.CodedValue(
            system=f"{bank}.acctStatus", version=tables[FINANCIAL_STATE].version, code=status
        ),
        bank_card_number=number,
    )
