"""What a card's payload must hold before it is admitted: form, presence, check digits (domain.md, 2.1 and 4).

A rule for each message type (see ``payload_checks``). What depends on the person's cards is judged in ``cards``.
"""

from __future__ import annotations

import re
from typing import Any, Final

from google.protobuf.message import Message as ProtoMessage
from google.protobuf.timestamp_pb2 import Timestamp

from onecard.card.v1 import change_pb2, comparison_pb2, feed_pb2, replacement_pb2, status_pb2, values_pb2
from onecard_broker.domain.card_state import card_key
from onecard_broker.domain.card_states import targets_of
from onecard_broker.domain.payload_checks import (
    ABSENT,
    Checker,
    Faults,
    check_count,
    check_message_id,
    check_name,
    check_text,
    needs,
    required,
)
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import BANKS, PROVINCES, participant_of_area
from onecard_protocol.identity import is_luhn_valid, normalise_identity

_CARD_NUMBER: Final = re.compile(r"[0-9A-Z]{9}")
"""A letter and eight digits; places that number otherwise keep to nine of these."""
_RECOGNITION_CODE: Final = re.compile(r"\d{6}[0-9A-Fa-f]{26}", re.ASCII)
_INSTITUTION: Final = re.compile(r"[0-9A-Fa-f]{24}")
_PURPOSE: Final = re.compile(r"[a-z][a-z-]{0,31}")
_PREFIX: Final = re.compile(r"[0-9a-f]{0,16}")
_DIGEST_BYTES: Final = 16
_RANGE_PARTS: Final = 16
_GENERATION_MAX: Final = 3
_PHOTO_DIGEST_BYTES: Final = 32
_NAMED: Final = {
    change_pb2.CARD_MACHINE_SOCIAL: (change_pb2.SocialChange, values_pb2.SocialState),
    change_pb2.CARD_MACHINE_FINANCIAL: (change_pb2.FinancialChange, values_pb2.FinancialState),
}
_KNOWN: Final = {machine: [frozenset(values.values()) - {0} for values in enums] for machine, enums in _NAMED.items()}
"""The changes and the states of a machine."""
_NOT_KNOWN: Final = "is not of the protocol"
_TIME_SECONDS: Final = range(-62_135_596_800, 253_402_300_800)
"""The years 1 to 9999, as timestamp.proto has them: no program can show another time."""
_TIME_NANOS: Final = range(1_000_000_000)


# ---- rules by type; `path` ends with a dot where it is not empty ---------------------------------------------------


def _time(message: Any, path: str, faults: Faults) -> None:
    if message.seconds not in _TIME_SECONDS or message.nanos not in _TIME_NANOS:
        faults.form.append((path.removesuffix("."), "is no time of the years 1 to 9999"))


def _reference(message: Any, path: str, faults: Faults) -> None:
    if message.issuer not in PROVINCES:
        faults.form.append((f"{path}issuer", "is no province"))
    if not _CARD_NUMBER.fullmatch(message.number):
        faults.form.append((f"{path}number", "is no card number: a letter and eight digits"))
    if message.sequence > limits.CARD_SEQUENCE_MAX:
        faults.form.append((f"{path}sequence", f"is above {limits.CARD_SEQUENCE_MAX}"))


def _data(message: Any, path: str, faults: Faults) -> None:
    if not 1 <= message.generation <= _GENERATION_MAX:
        faults.form.append((f"{path}generation", f"is not 1 to {_GENERATION_MAX}"))
    _form(_RECOGNITION_CODE, message.recognition_code, path, "recognition_code", "32 hex digits after an area", faults)
    _form(_INSTITUTION, message.institution_code, path, "institution_code", "24 hex digits", faults)
    if message.bank and message.bank not in BANKS:
        faults.form.append((f"{path}bank", "is no bank"))
    _bank_card_number(message.bank_card_number, path, faults)
    if message.residence_area and participant_of_area(message.residence_area) is None:
        faults.form.append((f"{path}residence_area", "is no area of six digits in a province"))
    if len(message.photo_digest) not in {0, _PHOTO_DIGEST_BYTES}:
        faults.form.append((f"{path}photo_digest", f"is not of {_PHOTO_DIGEST_BYTES} bytes"))
    for name in ("specification_version", "card_class", "certificate_serial", "electronic_card_id"):
        _optional_text(message, path, name, faults)
    if message.HasField("issue_day") and message.HasField("expiry_day"):
        issue, expiry = ((day.year, day.month, day.day) for day in (message.issue_day, message.expiry_day))
        if expiry < issue:
            faults.form.append((f"{path}expiry_day", "lies before issue_day"))


def _holder(message: Any, path: str, faults: Faults) -> None:
    check_name(message.name, path, "name", faults)
    if message.social_security_number:
        try:
            normalise_identity("", message.social_security_number)
        except OneCardError as error:
            faults.identity.append((f"{path}social_security_number", error.detail))


def _social_change(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "data")
    _change(message, change_pb2.CARD_MACHINE_SOCIAL, path, faults)
    issuing_area = message.data.recognition_code[:6]
    if issuing_area and participant_of_area(issuing_area) != message.card.issuer:
        faults.form.append((f"{path}data.recognition_code", "begins with another area than the issuer's"))
    if message.HasField("replaces") and card_key(message.replaces) == card_key(message.card):
        faults.form.append((f"{path}replaces", "is the card itself"))


def _financial_change(message: Any, path: str, faults: Faults) -> None:
    _change(message, change_pb2.CARD_MACHINE_FINANCIAL, path, faults)
    _bank_card_number(message.bank_card_number, path, faults)


def _change(message: Any, machine: change_pb2.CardMachine, path: str, faults: Faults) -> None:
    required(message, path, faults, "person", "card", "occurred_time")
    if not 1 <= message.version <= limits.CARD_VERSION_MAX:
        faults.form.append((f"{path}version", f"is not 1 to {limits.CARD_VERSION_MAX}"))
    if message.HasField("occurred_time") and message.occurred_time.seconds <= 0:
        faults.form.append((f"{path}occurred_time", "is no time"))
    for name, value, known in zip(("change", "state"), (message.change, message.state), _KNOWN[machine], strict=True):
        if value not in known:
            faults.form.append((path + name, _NOT_KNOWN if value else ABSENT))
    targets = targets_of(machine, message.change)
    if targets and message.state not in targets:
        faults.form.append((f"{path}state", "is none that the change leads to"))


def _read_one(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "question")
    _purpose(message, path, faults)


def _read_many(message: Any, path: str, faults: Faults) -> None:
    check_count(message.questions, path, "questions", faults, limits.CARD_QUESTION_COUNT_MAX)
    _purpose(message, path, faults)


def _verify(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person")
    _purpose(message, path, faults)
    if not message.card_number and not message.electronic_card_id:
        faults.form.append((f"{path}card_number", "is absent, and so is electronic_card_id"))
    _form(_CARD_NUMBER, message.card_number, path, "card_number", "a letter and eight digits", faults)
    _form(_RECOGNITION_CODE, message.recognition_code, path, "recognition_code", "32 hex digits after an area", faults)
    for name in ("electronic_card_id", "terminal"):
        _optional_text(message, path, name, faults)


def _follow(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person")
    _purpose(message, path, faults)


def _link(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person", "primary")
    check_text(message.document, path, "document", faults)


def _unlink(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person")
    check_text(message.cause, path, "cause", faults)


def _step(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person", "old_card", "new_card")
    check_message_id(message.replacement_id, path, "replacement_id", faults)
    for name in ("step", "direction"):
        if not getattr(message, name):
            faults.form.append((path + name, ABSENT))


def _step_done(message: Any, path: str, faults: Faults) -> None:
    _optional_text(message, path, "local_id", faults)


def _confirm(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person")
    check_message_id(message.replacement_id, path, "replacement_id", faults)
    if message.bank not in BANKS:
        faults.form.append((f"{path}bank", "is no bank"))


def _again(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "person")
    check_message_id(message.replacement_id, path, "replacement_id", faults)
    _optional_text(message, path, "cause", faults)


def _ranges(message: Any, path: str, faults: Faults) -> None:
    if not message.scope:
        faults.form.append((f"{path}scope", ABSENT))
    check_count(message.prefixes, path, "prefixes", faults, limits.CARD_RANGE_COUNT_MAX)
    if not all(map(_PREFIX.fullmatch, message.prefixes)):
        faults.form.append((f"{path}prefixes", "are not all hex digits in lower case"))


def _range_digests(message: Any, path: str, faults: Faults) -> None:
    if not _PREFIX.fullmatch(message.prefix):
        faults.form.append((f"{path}prefix", "is not of hex digits in lower case"))
    if len(message.digests) != _RANGE_PARTS * _DIGEST_BYTES:
        faults.form.append((f"{path}digests", f"are not {_RANGE_PARTS} of {_DIGEST_BYTES} bytes"))


def _copied(message: Any, path: str, faults: Faults) -> None:
    required(message, path, faults, "card")
    if len(message.data_digest) != _DIGEST_BYTES:
        faults.form.append((f"{path}data_digest", f"is not of {_DIGEST_BYTES} bytes"))
    for name, (_, states) in zip(("social_state", "financial_state"), _KNOWN.values(), strict=True):
        state = getattr(message, name)
        if state and state not in states:
            faults.form.append((path + name, _NOT_KNOWN))


def _report_again(message: Any, path: str, faults: Faults) -> None:
    check_count(message.cards, path, "cards", faults, limits.CARD_REPORT_COUNT_MAX)


def _repair(message: Any, path: str, faults: Faults) -> None:
    check_count((*message.cards, *message.gone), path, "cards", faults, limits.CARD_REPAIR_COUNT_MAX)


# ---- shared --------------------------------------------------------------------------------------------------------


def _form(pattern: re.Pattern[str], text: str, path: str, name: str, form: str, faults: Faults) -> None:
    if text and not pattern.fullmatch(text):
        faults.form.append((path + name, f"is not of {form}"))


def _optional_text(message: Any, path: str, name: str, faults: Faults) -> None:
    text = getattr(message, name)
    if text:
        check_text(text, path, name, faults)


def _purpose(message: Any, path: str, faults: Faults) -> None:
    """A code without digits, so that nothing personal gets into the access log by it."""
    if not _PURPOSE.fullmatch(message.purpose):
        faults.form.append((f"{path}purpose", "is no code of 1 to 32 lower-case letters and dashes"))


def _bank_card_number(number: str, path: str, faults: Faults) -> None:
    if number and not is_luhn_valid(number):
        faults.form.append((f"{path}bank_card_number", "fails its check digit"))


_CHECKER: Final = Checker(
    {
        Timestamp: _time,
        values_pb2.CardReference: _reference,
        values_pb2.CardData: _data,
        values_pb2.HolderDetails: _holder,
        change_pb2.ReportSocialChangeRequest: _social_change,
        change_pb2.ReportFinancialChangeRequest: _financial_change,
        change_pb2.RequestVersionsRequest: needs("person", "card"),
        status_pb2.CardQuestion: needs("person"),
        status_pb2.GetCardStatusRequest: _read_one,
        status_pb2.BatchGetCardStatusRequest: _read_many,
        status_pb2.VerifyCardRequest: _verify,
        feed_pb2.FollowPersonRequest: _follow,
        feed_pb2.UnfollowPersonRequest: needs("person"),
        feed_pb2.LinkNumberRequest: _link,
        feed_pb2.UnlinkNumberRequest: _unlink,
        replacement_pb2.CarryOutStepRequest: _step,
        replacement_pb2.CarryOutStepResponse: _step_done,
        replacement_pb2.ConfirmBenefitAccountRequest: _confirm,
        replacement_pb2.AskAgainRequest: _again,
        comparison_pb2.ReadDigestsRequest: _ranges,
        comparison_pb2.ReadCardsRequest: _ranges,
        comparison_pb2.RangeDigests: _range_digests,
        comparison_pb2.CopiedCard: _copied,
        comparison_pb2.ReportAgainRequest: _report_again,
        comparison_pb2.RepairCopyRequest: _repair,
    }
)


def check_payload(payload: ProtoMessage) -> None:
    """Raises OneCardError: IDENTITY_INVALID or PAYLOAD_INVALID; violations hold no values."""
    _CHECKER.check_payload(payload)
