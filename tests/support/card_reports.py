"""Synthetic reports about cards, complete as an issuer and a bank send them."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from onecard.card.v1 import change_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.port import Change, LocalAccount, LocalCard
from onecard_protocol.messages import to_ms
from tests.support.messages import citizen_number, person

CARDS = "/onecard.card.v1.*"
REPORT_SOCIAL = "/onecard.card.v1.CardChangeService/ReportSocialChange"
REPORT_FINANCIAL = "/onecard.card.v1.CardChangeService/ReportFinancialChange"
GET_STATUS = "/onecard.card.v1.CardStatusService/GetCardStatus"
BATCH_GET_STATUS = "/onecard.card.v1.CardStatusService/BatchGetCardStatus"
VERIFY_CARD = "/onecard.card.v1.CardStatusService/VerifyCard"
READ_DIGESTS = "/onecard.card.v1.CardComparisonService/ReadDigests"
FOLLOW_PERSON = "/onecard.card.v1.CardFeedService/FollowPerson"
LINK_NUMBER = "/onecard.card.v1.CardFeedService/LinkNumber"


def recognition_code(serial: int, area: str = "110000") -> str:
    """A synthetic recognition code, 32 hex digits."""
    return f"{area}{serial:026d}"


def card(serial: int = 991, *, issuer: str = "cn-11", sequence: int = 1) -> values_pb2.CardReference:
    """The card of a synthetic person."""
    return values_pb2.CardReference(issuer=issuer, number=f"A{serial:08d}", sequence=sequence)


def social_report(
    serial: int = 991,
    *,
    version: int = 1,
    change: change_pb2.SocialChange = change_pb2.SOCIAL_CHANGE_PRODUCED,
    state: values_pb2.SocialState = values_pb2.SOCIAL_STATE_PRODUCED,
    issuer: str = "cn-11",
    at_ms: int = 1_780_000_000_000,
) -> change_pb2.ReportSocialChangeRequest:
    """What an issuer tells of a card."""
    occurred = Timestamp()
    occurred.FromMilliseconds(at_ms)
    return change_pb2.ReportSocialChangeRequest(
        person=person(serial),
        card=card(serial, issuer=issuer),
        version=version,
        change=change,
        state=state,
        occurred_time=occurred,
        local_status=exchange_values_pb2.CodedValue(system=f"{issuer}.AAZ502", version="1", code="1"),
        data=values_pb2.CardData(
            generation=3,
            specification_version="3.00",
            card_class="1",
            recognition_code=recognition_code(serial),
            institution_code="1" * 24,
            issue_day=exchange_values_pb2.CalendarDay(year=2026, month=1, day=5),
            expiry_day=exchange_values_pb2.CalendarDay(year=2036, month=1, day=4),
            is_contactless=True,
            production_kind=exchange_values_pb2.CodedValue(system="ACA017", version="1", code="1"),
            production_way=exchange_values_pb2.CodedValue(system="ACA015", version="1", code="1"),
            bank="bank-102",
            residence_area="110101",
            electronic_card_id=f"E{serial:010d}",
        ),
        holder=values_pb2.HolderDetails(name="测试", social_security_number=citizen_number(serial)),
    )


def financial_report(
    serial: int = 991,
    *,
    version: int = 1,
    change: change_pb2.FinancialChange = change_pb2.FINANCIAL_CHANGE_OPENED,
    state: values_pb2.FinancialState = values_pb2.FINANCIAL_STATE_NOT_ACTIVATED,
    at_ms: int = 1_780_000_000_000,
) -> change_pb2.ReportFinancialChangeRequest:
    """What a bank tells of an account."""
    occurred = Timestamp()
    occurred.FromMilliseconds(at_ms)
    return change_pb2.ReportFinancialChangeRequest(
        person=person(serial),
        card=card(serial),
        version=version,
        change=change,
        state=state,
        occurred_time=occurred,
        local_status=exchange_values_pb2.CodedValue(system="bank-102.AAC019", version="1", code="0"),
    )


def local_view(report: Change) -> LocalCard | LocalAccount:
    """The card or account as a local system shows it that has no version and tells no change."""
    if isinstance(report, change_pb2.ReportFinancialChangeRequest):
        return LocalAccount(
            person=report.person,
            card=report.card,
            state=report.state,
            change=change_pb2.FINANCIAL_CHANGE_UNSPECIFIED,
            occurred_ms=to_ms(report.occurred_time),
            local_status=report.local_status,
            bank_card_number=report.bank_card_number,
        )
    return LocalCard(
        person=report.person,
        card=report.card,
        state=report.state,
        change=change_pb2.SOCIAL_CHANGE_UNSPECIFIED,
        occurred_ms=to_ms(report.occurred_time),
        local_status=report.local_status,
        data=report.data,
        holder=report.holder,
        replaces=report.replaces if report.HasField("replaces") else None,
    )
