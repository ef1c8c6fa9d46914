"""The protocol's own rules: what buf refuses, and what the options of methods and fields must say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from onecard.exchange.v1 import options_pb2
from onecard.exchange.v1.values_pb2 import PersonIdentity
from onecard_protocol import limits
from onecard_protocol.methods import Method, MethodRegistry

REPOSITORY = Path(__file__).parents[2]
BUF = REPOSITORY / "node_modules" / ".bin" / "buf"
COVERAGE = Path("onecard/medical/v1/coverage.proto")
METHODS = MethodRegistry.load()


@pytest.fixture
def proto(tmp_path: Path) -> Path:
    """A copy of the .proto files and of the rules for them, to be spoilt."""
    if not BUF.exists():
        reason = "buf is missing: make check installs it from npm"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    copy = tmp_path / "proto"
    shutil.copytree(REPOSITORY / "proto", copy, ignore=shutil.ignore_patterns("python"))
    return copy


def buf(*arguments: str | Path) -> str:
    """What buf complains about; nothing if it is content."""
    ended = subprocess.run([BUF, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert bool(ended.returncode) == bool(ended.stdout), ended.stderr
    return ended.stdout


def spoil(proto: Path, before: str, after: str) -> None:
    file = proto / COVERAGE
    content = file.read_text(encoding="utf-8")
    assert before in content
    file.write_text(content.replace(before, after, 1), encoding="utf-8")


def test_the_protocol_passes_its_own_rules(proto: Path) -> None:
    assert buf("lint", proto) == ""


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("  // Credential shown.\n", "", "should have a non-empty comment"),
        ("string insurance_area = 4;", "string insuranceArea = 4;", "should be lower_snake_case"),
        ("returns (QueryCoverageResponse)", "returns (Enrolment)", "QueryCoverageResponse"),
    ],
)
def test_what_breaks_a_rule_is_refused(proto: Path, before: str, after: str, says: str) -> None:
    spoil(proto, before, after)

    assert says in buf("lint", proto)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("string insurance_area = 4;", "string insurance_area = 14;"),
        ("string insurance_area = 4;", "int32 insurance_area = 4;"),
        ("  // Where care is sought.\n  Institution institution = 5;\n", ""),
    ],
)
def test_a_change_that_breaks_what_was_released_is_refused(proto: Path, before: str, after: str) -> None:
    assert buf("breaking", proto, "--against", REPOSITORY / "proto") == ""
    spoil(proto, before, after)

    assert "coverage.proto" in buf("breaking", proto, "--against", REPOSITORY / "proto")


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_the_policy_of_a_method_contradicts_neither_the_limits_nor_itself(method: Method) -> None:
    policy = method.policy
    assert policy.recipients
    assert policy.senders
    assert options_pb2.PARTICIPANT_ROLE_UNSPECIFIED not in {*policy.recipients, *policy.senders}
    assert not method.is_published or list(policy.recipients) == [options_pb2.PARTICIPANT_ROLE_HUB]
    assert not method.is_read or not method.has_effect
    assert 0 < policy.payload_bytes_max <= limits.PAYLOAD_BYTES_MAX
    assert policy.longest_duration_ms <= limits.EXECUTE_BEFORE_MS
    assert policy.carries_execute_before <= method.is_request
    if policy.reversing_method:
        assert method.has_effect
        assert METHODS[policy.reversing_method].has_effect
        assert not METHODS[policy.reversing_method].carries_execute_before


def module_of_one_method(monkeypatch: pytest.MonkeyPatch, name: str, **policy: Any) -> str:
    """A generated module with one method of this policy; the pool keeps it, so each needs a name of its own."""
    file = FileDescriptorProto(
        name=f"onecard/{name}.proto",
        package=f"onecard.{name}",
        syntax="proto3",
        dependency=[COVERAGE.as_posix(), "onecard/exchange/v1/options.proto"],
    )
    method = file.service.add(name="Service").method.add(
        name="Ask",
        input_type=".onecard.medical.v1.QueryCoverageRequest",
        output_type=".onecard.medical.v1.QueryCoverageResponse",
    )
    method.options.Extensions[options_pb2.policy].MergeFrom(options_pb2.MethodPolicy(**policy))
    module = types.ModuleType(f"{name}_pb2")
    module.DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


REQUEST = {"kind": options_pb2.METHOD_KIND_REQUEST, "payload_bytes_max": 1_000}


def test_a_method_of_a_sound_policy_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    name = module_of_one_method(
        monkeypatch,
        "sound",
        **REQUEST,
        carries_execute_before=True,
        longest_duration_ms=limits.EXECUTE_BEFORE_MS,
    )

    assert list(MethodRegistry.load((name,))) == ["/onecard.sound.Service/Ask"]


@pytest.mark.parametrize(
    ("name", "policy", "says"),
    [
        ("silent", {}, "states no policy"),
        ("torn", {**REQUEST, "carries_execute_before": True}, "contradict each other"),
        (
            "slow",
            {**REQUEST, "carries_execute_before": True, "longest_duration_ms": limits.EXECUTE_BEFORE_MS + 1},
            "may start 10001 ms after its creation",
        ),
    ],
)
def test_a_method_whose_policy_breaks_the_rules_is_not_loaded(
    monkeypatch: pytest.MonkeyPatch, name: str, policy: dict[str, Any], says: str
) -> None:
    module = module_of_one_method(monkeypatch, name, **policy)

    with pytest.raises(ValueError, match=says):
        MethodRegistry.load((module,))


_CARDS = "/onecard.card.v1.Card"
OF_NO_ONE_PERSON = {
    _CARDS + "StatusService/GetCardStatus",
    _CARDS + "StatusService/BatchGetCardStatus",
    _CARDS + "ComparisonService/ReadDigests",
    _CARDS + "ComparisonService/ReadCards",
    _CARDS + "ComparisonService/ReportAgain",
    _CARDS + "ComparisonService/RepairCopy",
}
"""Reads name each person in a question; copies of many persons' cards are compared under an id."""


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_every_method_about_a_person_names_the_person_and_hides_the_number(method: Method) -> None:
    if method.name in OF_NO_ONE_PERSON:
        assert method.subject_field is None
        return
    assert method.subject_field == "person"
    assert method.input_class.DESCRIPTOR.fields_by_name["person"].message_type is PersonIdentity.DESCRIPTOR
    assert PersonIdentity.DESCRIPTOR.fields_by_name["number"].GetOptions().Extensions[options_pb2.sensitive]


PERSONAL = {"name", "telephone", "address", "number", "personal_number"}
SENSITIVE_AS_A_WHOLE = {
    "onecard.medical.v1.Diagnosis",
    "onecard.medical.v1.ReferralDiagnosis",
    "onecard.medical.v1.Employer",
}
"""Messages whose fields bear no mark of their own, because every field that holds such a message does."""
PUBLIC = {"onecard.medical.v1.Institution.name"}
ABOUT_A_PERSON = {
    "onecard.exchange.v1.PersonIdentity",
    "onecard.medical.v1.Credential",
    "onecard.medical.v1.InsuredNumber",
    "onecard.medical.v1.PersonDetails",
}
"""Where single sensitive fields of the medical methods stand: in messages that hold nothing else of the business."""


def fields_below(descriptor: Any, seen: set[str]) -> list[FieldDescriptor]:
    if descriptor.full_name in seen:
        return []
    seen.add(descriptor.full_name)
    fields = list(descriptor.fields)
    return fields + [
        below for field in fields if field.message_type for below in fields_below(field.message_type, seen)
    ]


def fields_of(methods: Iterable[Method]) -> list[FieldDescriptor]:
    """Every field that can travel in these methods."""
    seen: set[str] = set()
    messages = [message for method in methods for message in (method.input_class, method.output_class)]
    return [field for message in messages for field in fields_below(message.DESCRIPTOR, seen)]


def messages_of(fields: Iterable[FieldDescriptor]) -> set[str]:
    """The messages that hold the fields, by full name."""
    return {field.containing_type.full_name for field in fields if field.containing_type is not None}


def is_sensitive(field: FieldDescriptor) -> bool:
    return field.GetOptions().Extensions[options_pb2.sensitive]


def test_fields_that_hold_personal_data_are_marked_sensitive() -> None:
    fields = fields_of(METHODS.values())
    whole = [field for field in fields if field.message_type and field.message_type.full_name in SENSITIVE_AS_A_WHOLE]
    held = [below for field in whole if field.message_type for below in field.message_type.fields]
    assert messages_of(held) == SENSITIVE_AS_A_WHOLE
    personal = [
        field
        for field in fields
        if field.name in PERSONAL and field.full_name not in PUBLIC and not messages_of([field]) & SENSITIVE_AS_A_WHOLE
    ]
    assert {field.name for field in personal} == PERSONAL
    assert not [field.full_name for field in (*whole, *personal) if not is_sensitive(field)]


def test_sensitive_fields_of_medical_messages_stand_in_messages_of_their_own() -> None:
    medical = [method for name, method in METHODS.items() if name.startswith("/onecard.medical.v1.")]
    single = [field for field in fields_of(medical) if is_sensitive(field) and field.message_type is None]
    assert messages_of(single) == ABOUT_A_PERSON
