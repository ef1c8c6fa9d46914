"""Each value of the medical protocol tells where it comes from: a field of the national interface, or this project."""

from __future__ import annotations

import importlib.resources
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc_tools
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

PROTO_ROOT = Path(__file__).parents[2] / "proto"
FILES = sorted((PROTO_ROOT / "onecard" / "medical").rglob("*.proto"))
VALUES = {".onecard.exchange.v1.CodedValue", ".onecard.exchange.v1.CalendarDay", ".google.protobuf.Timestamp"}
"""Messages that hold one value; any other is a group of fields, which say it themselves."""

# A source is a name of the national interface or of an older generation: mdtrt_id, tel, akb020.
ORIGIN = re.compile(r"\bsource [a-z][a-z0-9]*(_[a-z0-9]+)*\b|\bours\b")


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """The medical files with their comments, which generated code does not keep."""
    output = tmp_path_factory.mktemp("descriptors") / "medical.binpb"
    well_known = importlib.resources.files(grpc_tools) / "_proto"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTO_ROOT}", f"--proto_path={well_known}"),
            *("--include_source_info", f"--descriptor_set_out={output}"),
            *(str(file.relative_to(PROTO_ROOT)) for file in FILES),
        ],
        check=True,
        timeout=60,
    )
    return FileDescriptorSet.FromString(output.read_bytes())


def holds_one_value(field: FieldDescriptorProto) -> bool:
    return field.type != FieldDescriptorProto.TYPE_MESSAGE or field.type_name in VALUES


def values_with_comments(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    comments = {tuple(location.path): location.leading_comments for location in file.source_code_info.location}
    messages = FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER
    fields = DescriptorProto.FIELD_FIELD_NUMBER
    for index, message in enumerate(file.message_type):
        for place, field in enumerate(message.field):
            if holds_one_value(field):
                yield f"{message.name}.{field.name}", comments.get((messages, index, fields, place), "")


def test_every_value_names_its_source_or_says_that_it_is_ours(described: FileDescriptorSet) -> None:
    values = dict(pair for file in described.file for pair in values_with_comments(file))

    assert len(described.file) == len(FILES) >= 5
    assert "medfee_sumamt" in values["SettlementSplit.total_fen"]
    assert [name for name, comment in values.items() if not ORIGIN.search(comment)] == []


@pytest.mark.parametrize("comment", ["Filing id.", "From any source.", "Hours of the day.", "A source; of what?"])
def test_a_comment_without_origin_would_be_found(comment: str) -> None:
    assert ORIGIN.search(comment) is None
