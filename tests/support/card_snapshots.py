"""Synthetic snapshots: persons with valid numbers, one card each, as many as wanted."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from google.protobuf.timestamp_pb2 import Timestamp

from onecard.card.v1 import change_pb2, snapshot_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_protocol.identity import check_digit, is_luhn_valid

_FIRST_DAY = datetime.date(1950, 1, 1)
_DAYS = 25_000
_AREAS = [f"11{area:02d}{place:02d}" for area in range(1, 20) for place in range(1, 20)]


def citizen(index: int) -> str:
    """The number of a synthetic person, each index another one; up to nine thousand million."""
    index, serial = divmod(index, 999)
    index, day = divmod(index, _DAYS)
    born = _FIRST_DAY + datetime.timedelta(days=day)
    first_17 = f"{_AREAS[index % len(_AREAS)]}{born:%Y%m%d}{serial + 1:03d}"
    return first_17 + check_digit(first_17)


def bank_card_number(index: int) -> str:
    """The account's number, with its check digit."""
    first_18 = f"62{index:016d}"
    return next(number for digit in range(10) if is_luhn_valid(number := f"{first_18}{digit}"))


def snapshot_card(
    index: int,
    *,
    person_index: int | None = None,
    issuer: str = "cn-11",
    state: values_pb2.SocialState = values_pb2.SOCIAL_STATE_ACTIVE,
    version: int = 3,
) -> snapshot_pb2.SnapshotCard:
    """A card as its issuer and its bank told of it."""
    number = citizen(index if person_index is None else person_index)
    person = exchange_values_pb2.PersonIdentity(number=number)
    card = values_pb2.CardReference(issuer=issuer, number=f"{chr(65 + index // 10**8)}{index % 10**8:08d}", sequence=1)
    at = Timestamp(seconds=1_700_000_000 + index % 10_000_000)
    social = change_pb2.ReportSocialChangeRequest(
        person=person,
        card=card,
        version=version,
        change=change_pb2.SOCIAL_CHANGE_PRODUCED
        if state == values_pb2.SOCIAL_STATE_PRODUCED
        else change_pb2.SOCIAL_CHANGE_ENABLED,
        state=state,
        occurred_time=at,
        local_status=exchange_values_pb2.CodedValue(system=f"{issuer}.AAZ502", version="1", code="1"),
        data=values_pb2.CardData(
            generation=3,
            specification_version="3.00",
            card_class="1",
            recognition_code=f"110101{index:026x}",
            institution_code=f"{index % 97:024x}",
            issue_day=exchange_values_pb2.CalendarDay(year=2024, month=1 + index % 12, day=1 + index % 28),
            expiry_day=exchange_values_pb2.CalendarDay(year=2034, month=1 + index % 12, day=1 + index % 28),
            is_contactless=True,
            certificate_serial=f"{index * 7919:032x}",
            production_kind=exchange_values_pb2.CodedValue(system="ACA017", version="1", code="1"),
            production_way=exchange_values_pb2.CodedValue(system="ACA015", version="1", code="2"),
            bank="bank-102",
            bank_card_number=bank_card_number(index),
            residence_area="110101",
            electronic_card_id=f"E{index:011d}",
        ),
        holder=values_pb2.HolderDetails(name="测试人", social_security_number=number),
    )
    financial = change_pb2.ReportFinancialChangeRequest(
        person=person,
        card=card,
        version=2,
        change=change_pb2.FINANCIAL_CHANGE_ACTIVATED,
        state=values_pb2.FINANCIAL_STATE_ACTIVE,
        occurred_time=at,
        local_status=exchange_values_pb2.CodedValue(system="bank-102.AAC019", version="1", code="1"),
        bank_card_number=bank_card_number(index),
    )
    return snapshot_pb2.SnapshotCard(social=social, financial=financial)


def snapshot_cards(count: int, first: int = 0) -> Iterator[bytes]:
    """Serialised cards of as many persons."""
    for index in range(first, first + count):
        yield snapshot_card(index).SerializeToString(deterministic=True)
