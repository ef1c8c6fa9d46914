"""The methods of the protocol, read from the descriptors: idea 1 of the design.

A new business is a new proto module in ``BUSINESS_MODULES``; everything the exchange must know of it stands in its
method and field options.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message as ProtoMessage

from onecard.exchange.v1 import options_pb2, values_pb2
from onecard_protocol import limits

BUSINESS_MODULES: Final = (
    "onecard.medical.v1.filing_pb2",
    "onecard.medical.v1.coverage_pb2",
    "onecard.medical.v1.encounter_pb2",
    "onecard.medical.v1.settlement_pb2",
    "onecard.card.v1.change_pb2",
    "onecard.card.v1.status_pb2",
    "onecard.card.v1.feed_pb2",
    "onecard.card.v1.replacement_pb2",
    "onecard.card.v1.comparison_pb2",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One national method and its policy."""

    name: str
    """Full name, ``/onecard.medical.v1.SettlementService/Settle``."""
    package: str
    service: str
    policy: options_pb2.MethodPolicy
    input_class: type[ProtoMessage]
    output_class: type[ProtoMessage]
    subject_field: str | None
    """Field of the input that holds the PersonIdentity; None where the method has no subject."""
    other_subject_field: str | None
    """Field of the input that holds another identity of the same person; None for most."""
    access_purpose_field: str | None
    """Field of the input that says why the sender wants to know of the person; None for most."""
    is_request: bool
    is_event: bool
    is_read: bool
    has_effect: bool
    carries_execute_before: bool
    is_published: bool
    """An event to the hub that is passed on, as it was signed, to all whom the business names."""

    def subject_of(self, payload: ProtoMessage) -> values_pb2.PersonIdentity | None:
        """The person by whom the message is ordered; None where the method has none or the field is absent."""
        if self.subject_field is None or not payload.HasField(self.subject_field):
            return None
        person: values_pb2.PersonIdentity = getattr(payload, self.subject_field)
        return person


class MethodRegistry(Mapping[str, Method]):
    """All national methods by full name."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = dict(methods)

    @classmethod
    def load(cls, modules: tuple[str, ...] = BUSINESS_MODULES) -> MethodRegistry:
        """Read the methods of the generated modules; raises ValueError for one whose policy is missing or wrong."""
        methods: dict[str, Method] = {}
        for module in modules:
            descriptor = importlib.import_module(module).DESCRIPTOR
            for service in descriptor.services_by_name.values():
                for method in service.methods:
                    loaded = _load(method)
                    methods[loaded.name] = loaded
        return cls(methods)

    def __getitem__(self, name: str) -> Method:
        return self._methods[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._methods)

    def __len__(self) -> int:
        return len(self._methods)

    def services(self) -> list[str]:
        """Full names of the services, for reflection and health."""
        return sorted({f"{method.package}.{method.service}" for method in self.values()})


def _load(descriptor: MethodDescriptor) -> Method:
    service = descriptor.containing_service
    name = f"/{service.full_name}/{descriptor.name}"
    policy = descriptor.GetOptions().Extensions[options_pb2.policy]
    if policy.kind == options_pb2.METHOD_KIND_UNSPECIFIED or not policy.payload_bytes_max:
        raise ValueError(f"{name} states no policy (kind and payload_bytes_max)")
    if policy.carries_execute_before != bool(policy.longest_duration_ms):
        raise ValueError(f"{name}: carries_execute_before and longest_duration_ms contradict each other")
    if policy.longest_duration_ms > limits.EXECUTE_BEFORE_MS:
        raise ValueError(
            f"{name} may start {policy.longest_duration_ms} ms after its creation; the chain of deadlines (rule 10)"
            f" allows {limits.EXECUTE_BEFORE_MS}"
        )
    if policy.is_published and policy.kind != options_pb2.METHOD_KIND_EVENT:
        raise ValueError(f"{name}: only events are published")
    return Method(
        name=name,
        package=service.file.package,
        service=service.name,
        policy=policy,
        input_class=message_factory.GetMessageClass(descriptor.input_type),
        output_class=message_factory.GetMessageClass(descriptor.output_type),
        subject_field=_field_with(descriptor.input_type, options_pb2.subject),
        other_subject_field=_field_with(descriptor.input_type, options_pb2.other_subject),
        access_purpose_field=_field_with(descriptor.input_type, options_pb2.access_purpose),
        is_request=policy.kind == options_pb2.METHOD_KIND_REQUEST,
        is_event=policy.kind == options_pb2.METHOD_KIND_EVENT,
        is_read=policy.kind == options_pb2.METHOD_KIND_READ,
        has_effect=policy.has_effect,
        carries_execute_before=policy.carries_execute_before,
        is_published=policy.is_published,
    )


def _field_with(descriptor: Descriptor, option: Any) -> str | None:
    """The one field that carries a boolean option, an extension handle of options_pb2."""
    names = [field.name for field in descriptor.fields if field.GetOptions().Extensions[option]]
    if len(names) > 1:
        raise ValueError(f"{descriptor.full_name} has more than one {option.name} field")
    return names[0] if names else None
