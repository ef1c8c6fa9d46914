"""The catalogue of errors in Python: reasons come from the proto enum, texts from its options.

On the wire an error is a rich status (google.rpc.Status) with ErrorInfo, BadRequest and RetryInfo (AIP-193).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final, Literal, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from onecard.exchange.v1 import errors_pb2, message_pb2, options_pb2, service_pb2
from onecard_protocol import limits

ERROR_DOMAIN: Final = "onecard"
STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"

Language = Literal["en", "zh"]
Violation = tuple[str, str]

Reason = errors_pb2.ErrorReason
_PREFIX: Final = "ERROR_REASON_"


def reason_name(reason: int) -> str:
    """The reason's name without its prefix, as it stands in ErrorInfo, such as ``KEY_REVOKED``."""
    try:
        return errors_pb2.ErrorReason.Name(reason).removeprefix(_PREFIX)
    except ValueError:
        return f"REASON_{reason}"


def reason_from_name(name: str) -> int:
    """The reason of a name without its prefix; INTERNAL if this release does not know it."""
    try:
        return errors_pb2.ErrorReason.Value(_PREFIX + name)
    except ValueError:
        return errors_pb2.ERROR_REASON_INTERNAL


@cache
def policy(reason: int) -> options_pb2.ErrorPolicy:
    """Fault, retryability, status and texts of a reason."""
    value = errors_pb2.ErrorReason.DESCRIPTOR.values_by_number.get(reason)
    if value is None:
        return policy(errors_pb2.ERROR_REASON_INTERNAL)
    return value.GetOptions().Extensions[options_pb2.error]


def text(reason: int, language: Language) -> str:
    """The catalogue's text of a reason: what happened, and what to do."""
    entry = policy(reason)
    return entry.text_zh if language == "zh" else entry.text_en


class OneCardError(Exception):
    """Something was refused or failed, with a reason of the catalogue.

    ``detail`` says what exactly, in English, and never holds personal data. ``violations`` are (field path, what is
    wrong) pairs.
    """

    def __init__(
        self, reason: int, detail: str = "", *, violations: Iterable[Violation] = (), retry_after_ms: int = 0
    ) -> None:
        self.reason = reason
        self.detail = detail[: limits.DETAIL_CHARACTERS_MAX]
        self.violations = tuple(violations)
        self.retry_after_ms = retry_after_ms
        super().__init__(reason, detail)

    def __str__(self) -> str:
        return self.describe("en")

    def describe(self, language: Language) -> str:
        """One line for a person: reason, text and detail."""
        return " | ".join((f"{reason_name(self.reason)}: {text(self.reason, language)}", *self.particulars))

    @property
    def particulars(self) -> tuple[str, ...]:
        """What exactly, beside the catalogue's text: the detail, and each field with what is wrong with it."""
        violations = [f"{field}: {description}" for field, description in self.violations]
        return (self.detail, *violations) if self.detail else tuple(violations)


class OutcomeInDoubt(OneCardError):
    """A call with effect was made and its outcome cannot be told: never a failure, to be queried or reversed."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, detail)


def refuse(reason: int, detail: str = "", *, violations: Iterable[Violation] = ()) -> NoReturn:
    """Raise OneCardError."""
    raise OneCardError(reason, detail, violations=violations)


def to_status(error: OneCardError) -> status_pb2.Status:
    """The rich status of an error."""
    entry = policy(error.reason)
    code: grpc.StatusCode = grpc.StatusCode[entry.status or "INTERNAL"]
    info = error_details_pb2.ErrorInfo(
        reason=reason_name(error.reason),
        domain=ERROR_DOMAIN,
        metadata={"detail": error.detail, "text_zh": entry.text_zh},
    )
    details: list[any_pb2.Any] = [_packed(info)]
    if error.violations:
        details.append(
            _packed(
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
                        for field, description in error.violations
                    ]
                )
            )
        )
    if error.retry_after_ms:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(error.retry_after_ms)
        details.append(_packed(retry))
    return status_pb2.Status(code=code.value[0], message=f"{info.reason}: {entry.text_en}", details=details)


def from_status(status: status_pb2.Status) -> OneCardError:
    """The error of a rich status; without ErrorInfo of this domain it is INTERNAL with the status's message."""
    reason: int = errors_pb2.ERROR_REASON_INTERNAL
    detail = status.message
    violations: list[Violation] = []
    retry_after_ms = 0
    for packed in status.details:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if packed.Unpack(info) and info.domain == ERROR_DOMAIN:
            reason, detail = reason_from_name(info.reason), info.metadata.get("detail", "")
        elif packed.Unpack(bad):
            violations = [(violation.field, violation.description) for violation in bad.field_violations]
        elif packed.Unpack(retry):
            retry_after_ms = retry.retry_delay.ToMilliseconds()
    return OneCardError(reason, detail, violations=violations, retry_after_ms=retry_after_ms)


def to_rejection(error: OneCardError) -> message_pb2.Rejection:
    """The rejection that tells an error in a message."""
    return message_pb2.Rejection(
        reason=error.reason,  # type: ignore[arg-type]
        detail=error.detail,
        violations=[message_pb2.FieldViolation(field=name, description=what) for name, what in error.violations],
    )


def from_rejection(rejection: message_pb2.Rejection | service_pb2.Refusal) -> OneCardError:
    """The error that a rejection or a refusal tells; a refusal also says when to come again."""
    return OneCardError(
        rejection.reason,
        rejection.detail,
        violations=[(violation.field, violation.description) for violation in rejection.violations],
        retry_after_ms=rejection.retry_after_ms if isinstance(rejection, service_pb2.Refusal) else 0,
    )


def _packed(message: object) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)  # type: ignore[arg-type]
    return packed
