"""What any payload must hold before it is admitted, and how a payload is walked by the rules of its types.

A rule for each message type, found by walking the payload: a type means the same wherever it stands. Pure, and without
state. The rules of a business are in its own ``…_checks``; those of the shared types are here.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sized
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import errors_pb2, values_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, Violation
from onecard_protocol.identifiers import id_from_text
from onecard_protocol.identity import normalise_identity

TEXT_CHARACTERS_MAX: Final = 64
NAME_CHARACTERS_MAX: Final = 200
ABSENT: Final = "is absent"
_AREA: Final = re.compile(r"\d{6}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Rule = Callable[[Any, str, "Faults"], None]
"""Adds what is wrong with a message to the faults; the path ends with a dot where it is not empty."""


class Faults:
    """What is wrong with a payload, by the reason that it is refused for."""

    def __init__(self) -> None:
        self.identity: list[Violation] = []
        self.form: list[Violation] = []
        self.amounts: list[Violation] = []

    @property
    def are_any(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.identity or self.form or self.amounts)

    def raise_gravest(self) -> None:
        """Raise what is wrong: an unknown person before a wrong form, a wrong form before a wrong sum."""
        for reason, violations in (
            (errors_pb2.ERROR_REASON_IDENTITY_INVALID, self.identity),
            (errors_pb2.ERROR_REASON_PAYLOAD_INVALID, self.form),
            (errors_pb2.ERROR_REASON_AMOUNTS_INCONSISTENT, self.amounts),
        ):
            if violations:
                count_max = limits.FEE_LINE_COUNT_MAX
                detail = (
                    "" if len(violations) <= count_max else f"{len(violations)} faults, the first {count_max} named"
                )
                raise OneCardError(reason, detail, violations=violations[:count_max])


class Checker:
    """Checks payloads by the rules of their types."""

    def __init__(self, rules: Mapping[type[ProtoMessage], Rule]) -> None:
        """`rules` are a business's own, beside those of the shared types."""
        self._rules = {
            message_class.DESCRIPTOR.full_name: rule for message_class, rule in (_SHARED_RULES | dict(rules)).items()
        }
        self._plans: dict[type[ProtoMessage], tuple[Rule | None, tuple[tuple[str, bool], ...]]] = {}

    def check_payload(self, payload: ProtoMessage) -> None:
        """Raises OneCardError: IDENTITY_INVALID, PAYLOAD_INVALID or AMOUNTS_INCONSISTENT; violations hold no values."""
        faults = Faults()
        self._check(payload, faults)
        if faults.are_any:
            # Only a payload with faults is worth the names of its fields.
            named = Faults()
            self._check_by_name(payload, "", named)
            named.raise_gravest()

    def _check(self, message: Any, faults: Faults) -> None:
        """Apply the rule of a message's type, and those of the messages in it, without telling where a fault lies."""
        rule, fields = self._plans.get(message.__class__) or self._plan(message.__class__)
        if rule is not None:
            rule(message, "", faults)
        for name, is_repeated in fields:
            if is_repeated:
                for item in getattr(message, name):
                    self._check(item, faults)
            elif message.HasField(name):
                self._check(getattr(message, name), faults)

    def _check_by_name(self, message: Any, path: str, faults: Faults) -> None:
        """The same, with the place of each fault; `path` ends with a dot or is empty."""
        rule, fields = self._plans[message.__class__]
        if rule is not None:
            rule(message, path, faults)
        for name, is_repeated in fields:
            if is_repeated:
                for index, item in enumerate(getattr(message, name)):
                    self._check_by_name(item, f"{path}{name}[{index}].", faults)
            elif message.HasField(name):
                self._check_by_name(getattr(message, name), f"{path}{name}.", faults)

    def _plan(self, message_class: type[ProtoMessage]) -> tuple[Rule | None, tuple[tuple[str, bool], ...]]:
        """The rule of a type, and its fields in which a rule applies, each with whether it is repeated."""
        descriptor = message_class.DESCRIPTOR
        fields = tuple((field.name, field.is_repeated) for field in descriptor.fields if self._has_rule(field))
        self._plans[message_class] = plan = self._rules.get(descriptor.full_name), fields
        return plan

    def _has_rule(self, field: Any) -> bool:
        """Whether a rule applies to a field's type or anywhere in it; no type of the protocol holds itself."""
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            return False
        return field.message_type.full_name in self._rules or any(map(self._has_rule, field.message_type.fields))


# ---- what rules are made of ----------------------------------------------------------------------------------------


def needs(*names: str) -> Rule:
    """A rule that asks only for fields."""
    return lambda message, path, faults: required(message, path, faults, *names)


def required(message: Any, path: str, faults: Faults, *names: str) -> None:
    """A person that is absent is an unknown person, any other field a wrong form."""
    for name in names:
        if not message.HasField(name):
            (faults.identity if name == "person" else faults.form).append((path + name, ABSENT))


def check_area(area: str, path: str, name: str, faults: Faults) -> None:
    """Six digits."""
    if not _AREA.fullmatch(area):
        faults.form.append((path + name, "is no area of six digits"))


def check_text(text: str, path: str, name: str, faults: Faults, characters_max: int = TEXT_CHARACTERS_MAX) -> None:
    """Present, printable, and not too long."""
    if not text:
        faults.form.append((path + name, ABSENT))
    elif len(text) > characters_max or not text.isprintable():
        faults.form.append((path + name, f"is longer than {characters_max} characters or not printable"))


def check_name(text: str, path: str, name: str, faults: Faults) -> None:
    """A person's name as its register writes it: with any blanks, and rare characters that no font or table has."""
    if len(text) > NAME_CHARACTERS_MAX or _CONTROL.search(text):
        faults.form.append((path + name, f"is longer than {NAME_CHARACTERS_MAX} characters or has control characters"))


def check_message_id(text: str, path: str, name: str, faults: Faults) -> None:
    """The id of a message."""
    if id_from_text(text) is None:
        faults.form.append((path + name, "is no message id of 32 hex digits"))


def check_count(items: Sized, path: str, name: str, faults: Faults, count_max: int) -> None:
    """At least one, and not too many."""
    if not 1 <= len(items) <= count_max:
        faults.form.append((path + name, f"are not 1 to {count_max}"))


# ---- the shared types ----------------------------------------------------------------------------------------------


def _person(message: Any, path: str, faults: Faults) -> None:
    try:
        normalise_identity(message.kind.code, message.number)
    except OneCardError as error:
        faults.identity.append((f"{path}number", error.detail))


def _coded_value(message: Any, path: str, faults: Faults) -> None:
    check_text(message.system, path, "system", faults)
    check_text(message.version, path, "version", faults)
    check_text(message.code, path, "code", faults)


def _day(message: Any, path: str, faults: Faults) -> None:
    try:
        datetime.date(message.year, message.month, message.day)
    except ValueError:
        faults.form.append((path.removesuffix("."), "is no day"))


_SHARED_RULES: Final[dict[type[ProtoMessage], Rule]] = {
    values_pb2.PersonIdentity: _person,
    values_pb2.CodedValue: _coded_value,
    values_pb2.CalendarDay: _day,
}
