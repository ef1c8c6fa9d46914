"""Signed messages of synthetic persons for tests of admission and gateway."""

from __future__ import annotations

from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import message_pb2, values_pb2
from onecard.medical.v1 import coverage_pb2, filing_pb2
from onecard.medical.v1 import values_pb2 as medical_values_pb2
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.identity import check_digit
from onecard_protocol.messages import MESSAGE_CONTEXT, Message, build_header
from onecard_protocol.signatures.blocks import sign_one
from onecard_protocol.signatures.signer import Signer
from tests.support.directories import NETWORK

COVERAGE = "/onecard.medical.v1.CoverageService/QueryCoverage"
REPORT_FILING = "/onecard.medical.v1.FilingService/ReportFiling"
REVERSE = "/onecard.medical.v1.SettlementService/Reverse"
SETTLE = "/onecard.medical.v1.SettlementService/Settle"
DURATION_MS = 10_000


def citizen_number(serial: int) -> str:
    """A synthetic person's number with a valid check digit."""
    first_17 = f"51000019700101{serial % 1000:03d}"
    return first_17 + check_digit(first_17)


def person(serial: int = 991) -> values_pb2.PersonIdentity:
    """A synthetic person."""
    return values_pb2.PersonIdentity(number=citizen_number(serial))


def coverage_query(serial: int = 991) -> coverage_pb2.QueryCoverageRequest:
    """A request without effect on anything."""
    return coverage_pb2.QueryCoverageRequest(person=person(serial), insurance_area="510100")


def filing_report(serial: int = 991) -> filing_pb2.ReportFilingRequest:
    """An event."""
    return filing_pb2.ReportFilingRequest(
        person=person(serial),
        insured_number=medical_values_pb2.InsuredNumber(insurance_area="510100", personal_number=f"51{serial:08d}"),
        filing=filing_pb2.Filing(
            filing_id="F1",
            filing_type=values_pb2.CodedValue(system="nhsa.filing", version="1", code="11"),
            insurance_area="510100",
            destination_area="440100",
            first_day=values_pb2.CalendarDay(year=2026, month=1, day=1),
        ),
    )


def covered(request: Message) -> tuple[message_pb2.MessageKind, coverage_pb2.QueryCoverageResponse]:
    """The good answer to a coverage query."""
    asked = coverage_pb2.QueryCoverageRequest.FromString(request.payload)
    return message_pb2.MESSAGE_KIND_REPLY, coverage_pb2.QueryCoverageResponse(
        person=asked.person,
        insured_number=medical_values_pb2.InsuredNumber(insurance_area="510100", personal_number="5100000001"),
    )


def make_signed(
    signer: Signer,
    payload: ProtoMessage | bytes,
    *,
    now_ms: int,
    sender: str = "cn-44",
    recipient: str = "cn-51",
    method: str = COVERAGE,
    kind: message_pb2.MessageKind = message_pb2.MESSAGE_KIND_REQUEST,
    network: str = NETWORK,
    message_id: bytes | None = None,
    execute_before_ms: int | None = None,
    reply_to: message_pb2.RequestReference | None = None,
    context: bytes = MESSAGE_CONTEXT,
) -> message_pb2.SignedMessage:
    """A message created at `now_ms` and signed alone."""
    content = payload if isinstance(payload, bytes) else payload.SerializeToString(deterministic=True)
    header = build_header(
        network=network,
        sender=sender,
        recipient=recipient,
        method=method,
        kind=kind,
        message_id=message_id or new_message_id(now_ms),
        payload=content,
        execute_before_ms=execute_before_ms,
        reply_to=reply_to,
    )
    return message_pb2.SignedMessage(header=header, payload=content, signature=sign_one(signer, context, header))


def make_request(
    signer: Signer, now_ms: int, *, sender: str = "cn-44", recipient: str = "cn-51", serial: int = 991
) -> message_pb2.SignedMessage:
    """A coverage query that may be executed for as long as its method allows."""
    return make_signed(
        signer,
        coverage_query(serial),
        now_ms=now_ms,
        sender=sender,
        recipient=recipient,
        execute_before_ms=now_ms + DURATION_MS,
    )


def make_event(
    signer: Signer, now_ms: int, *, sender: str = "cn-51", recipient: str = "cn-44", serial: int = 991
) -> message_pb2.SignedMessage:
    """The report of a filing."""
    return make_signed(
        signer,
        filing_report(serial),
        now_ms=now_ms,
        sender=sender,
        recipient=recipient,
        method=REPORT_FILING,
        kind=message_pb2.MESSAGE_KIND_EVENT,
    )
