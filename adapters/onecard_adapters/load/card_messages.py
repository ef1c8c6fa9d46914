"""The card messages of the load: synthetic holders whose cards are used, reported lost for a while, and found again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from onecard.card.v1 import change_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.load.messages import identity_number
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import PROVINCES
from onecard_protocol.messages import timestamp

ISSUER: Final = "cn-44"
BANK: Final = "bank-102"
REPORT_METHOD: Final = "/onecard.card.v1.CardChangeService/ReportSocialChange"
PURPOSE: Final = "benchmark"
_RESIDENCES: Final = sorted(PROVINCES - {ISSUER})


def _code(system: str, code: str) -> exchange_values_pb2.CodedValue:
    return exchange_values_pb2.CodedValue(system=system, version="1", code=code)


def person(serial: int) -> exchange_values_pb2.PersonIdentity:
    """The holder of a card."""
    return exchange_values_pb2.PersonIdentity(number=identity_number(serial))


def card_number(serial: int) -> str:
    """A letter and eight digits."""
    return f"A{serial:08}"


def recognition_code(serial: int) -> str:
    """32 hex digits, the first six the issuing area."""
    return f"440100{serial:026X}"


def residence_area(serial: int) -> str:
    """Where the holder lives: card by card in another province than the issuer's, in turn."""
    return f"{_RESIDENCES[serial % len(_RESIDENCES)].removeprefix('cn-')}0100"


def _reference(serial: int) -> values_pb2.CardReference:
    return values_pb2.CardReference(issuer=ISSUER, number=card_number(serial), sequence=1)


def change(serial: int, version: int) -> change_pb2.ReportSocialChangeRequest:
    """Version 1 tells of a card in use; even versions report it lost for a while, odd ones found again."""
    is_lost = version % 2 == 0
    found_or_enabled = change_pb2.SOCIAL_CHANGE_ENABLED if version == 1 else change_pb2.SOCIAL_CHANGE_FOUND
    return change_pb2.ReportSocialChangeRequest(
        person=person(serial),
        card=_reference(serial),
        version=version,
        change=change_pb2.SOCIAL_CHANGE_TEMPORARILY_LOST if is_lost else found_or_enabled,
        state=values_pb2.SOCIAL_STATE_TEMPORARILY_LOST if is_lost else values_pb2.SOCIAL_STATE_ACTIVE,
        occurred_time=timestamp(now_ms()),
        local_status=_code("mohrss.aaz502", "4" if is_lost else "1"),
        data=values_pb2.CardData(
            generation=3,
            specification_version="3.00",
            card_class="1",
            recognition_code=recognition_code(serial),
            institution_code="4401" * 6,
            issue_day=exchange_values_pb2.CalendarDay(year=2025, month=3, day=14),
            expiry_day=exchange_values_pb2.CalendarDay(year=2035, month=3, day=13),
            is_contactless=True,
            certificate_serial=f"{serial:016X}",
            production_kind=_code("mohrss.aca017", "1"),
            production_way=_code("mohrss.aca015", "2"),
            residence_area=residence_area(serial),
        ),
        holder=values_pb2.HolderDetails(name="示例", social_security_number=identity_number(serial)),
    )


def account(serial: int) -> change_pb2.ReportFinancialChangeRequest:
    """The account of a card, opened and then put to use."""
    return change_pb2.ReportFinancialChangeRequest(
        person=person(serial),
        card=_reference(serial),
        version=2,
        change=change_pb2.FINANCIAL_CHANGE_ACTIVATED,
        state=values_pb2.FINANCIAL_STATE_ACTIVE,
        occurred_time=timestamp(now_ms()),
        local_status=_code("mohrss.aac019", "1"),
    )


def changes(first_serial: int, count: int) -> Iterator[bytes]:
    """Version after version of `count` cards, each card's next one after all others': without end."""
    version = 0
    while True:
        version += 1
        for serial in range(first_serial, first_serial + count):
            yield change(serial, version).SerializeToString()


def question(serial: int) -> status_pb2.CardQuestion:
    """All cards of a holder."""
    return status_pb2.CardQuestion(person=person(serial))


def verification(serial: int) -> status_pb2.VerifyCardRequest:
    """The card at a counter."""
    return status_pb2.VerifyCardRequest(
        person=person(serial),
        card_number=card_number(serial),
        recognition_code=recognition_code(serial),
        purpose=PURPOSE,
        terminal="1",
    )
