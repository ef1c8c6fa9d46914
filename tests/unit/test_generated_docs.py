"""The generated pages: fresh, complete, stale as soon as what they are made of changes; and no link leads nowhere."""

from __future__ import annotations

import importlib.util
import re
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from pydantic import BaseModel

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.cross_region_xml import forms
from onecard_adapters.dialects.infno import maps
from onecard_adapters.mapping.fields import TEXT, FieldMap, Rule
from onecard_adapters.profiles.models import Profile
from onecard_adapters.settings import AdapterSettings
from onecard_broker.domain import card_states, replacement_states, settlement_states
from onecard_broker.settings import HubSettings
from onecard_protocol import limits
from onecard_protocol.errors import reason_name, text
from onecard_protocol.methods import MethodRegistry

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
SOURCE_ROOTS = ("broker", "adapters", "proto/python/onecard_protocol", "province-stubs")
PAGES = sorted([*DOCS.rglob("*.md"), *REPOSITORY.glob("*.md")])


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    loader = SourceFileLoader("generate_docs", str(REPOSITORY / "tools" / "generate_docs"))
    specification = importlib.util.spec_from_loader("generate_docs", loader)
    assert specification is not None
    module = importlib.util.module_from_spec(specification)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(generator: ModuleType) -> list[FileDescriptorProto]:
    described: list[FileDescriptorProto] = generator.described_files()
    return described


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_committed_pages_are_fresh(generator: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main(["--check"]) == 0, capsys.readouterr().out


def test_a_page_that_differs_is_named_and_left_as_it_is(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generator, "REPOSITORY", tmp_path)
    (tmp_path / "errors.md").write_text("old", encoding="utf-8")
    pages = {tmp_path / "errors.md": "new", tmp_path / "protocol.md": "new"}
    monkeypatch.setattr(generator, "expected_pages", lambda: pages)

    assert generator.main(["--check"]) == 1
    printed = capsys.readouterr().out
    assert "not fresh: errors.md" in printed
    assert "not fresh: protocol.md" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["errors.md"]
    assert (tmp_path / "errors.md").read_text(encoding="utf-8") == "old"

    assert generator.main([]) == 0
    assert {path: path.read_text(encoding="utf-8") for path in pages} == pages
    assert generator.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("fields", "name"), [(forms.DISCHARGE, "cross-region-xml-fields.md"), (maps.DISCHARGE, "infno-fields.md")]
)
def test_a_rule_that_is_added_makes_the_page_of_its_dialect_stale(
    generator: ModuleType,
    files: list[FileDescriptorProto],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fields: FieldMap,
    name: str,
) -> None:
    monkeypatch.setattr(generator, "described_files", lambda: files)
    added = Rule(local="ykc999", national="encounter.visit_id", codec=TEXT)
    monkeypatch.setattr(fields, "rules", (*fields.rules, added))

    assert generator.main(["--check"]) == 1
    assert f"not fresh: docs/dialects/{name}" in capsys.readouterr().out


@pytest.mark.parametrize(("module", "name"), [(forms, "cross-region-xml-fields.md"), (maps, "infno-fields.md")])
def test_every_field_of_a_map_stands_on_the_page_of_its_dialect(module: ModuleType, name: str) -> None:
    sections = page(f"dialects/{name}").split("\n## ")
    for title, fields in ((title, item) for title, item in vars(module).items() if isinstance(item, FieldMap)):
        (section,) = (one for one in sections if one.startswith(f"{title.replace('_', ' ').capitalize()}\n"))
        for rule in fields.rules:
            (row,) = (line for line in section.splitlines() if line.startswith(f"| `{rule.local}`"))
            assert f"| `{rule.national}` |" in row
            assert ("| yes |" in row) == rule.is_required
            assert not rule.codec.table or f"`{rule.codec.table}`" in row


def test_an_element_without_a_comment_ends_the_run(generator: ModuleType, files: list[FileDescriptorProto]) -> None:
    bare = FileDescriptorProto()
    bare.CopyFrom(next(file for file in files if file.name.endswith("exchange/v1/values.proto")))
    for location in bare.source_code_info.location:
        if list(location.path) == [4, 0, 2, 1]:
            location.ClearField("leading_comments")

    with pytest.raises(SystemExit, match=r"CodedValue\.version has no comment"):
        list(generator.file_lines(bare))


def test_the_page_says_of_each_method_what_the_exchange_knows(files: list[FileDescriptorProto]) -> None:
    protocol = page("protocol.md")
    for method in MethodRegistry.load().values():
        section = protocol.split(f'<a id="{method.package}.{method.service}"></a>')[1].split("<a id=")[0]
        (row,) = (line for line in section.splitlines() if line.startswith(f"| `{method.name.rsplit('/', 1)[1]}` |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[3] == ("event" if method.is_event else "read" if method.is_read else "request")
        assert cells[5] == ("yes" if method.has_effect else "no")
        assert cells[6] == (
            f"{method.policy.longest_duration_ms // 1000} s" if method.carries_execute_before else "none"
        )
        assert cells[7].strip("`") == method.policy.reversing_method.rpartition("/")[2]
    for file in files:
        for message in file.message_type:
            assert f'<a id="{file.package}.{message.name}"></a>' in protocol


def test_sensitive_fields_and_subjects_are_marked() -> None:
    protocol = page("protocol.md")
    assert re.search(r"`number` \| string \| Certificate number; .*\(\*\*sensitive\*\*\)", protocol)
    assert re.search(r"`person` \| \[PersonIdentity\]\(#.*\(\*\*subject\*\*\)", protocol)


def test_every_reason_stands_in_the_catalogue_in_both_languages() -> None:
    rows = {row.split("|")[2].strip(" `"): row for row in page("errors.md").splitlines() if re.match(r"\| \d", row)}
    reasons = [value for value in errors_pb2.ErrorReason.values() if value != errors_pb2.ERROR_REASON_UNSPECIFIED]
    assert set(rows) == {reason_name(reason) for reason in reasons}
    for reason in reasons:
        row = rows[reason_name(reason)]
        assert text(reason, "en") in row
        assert text(reason, "zh") in row


@pytest.mark.parametrize("kind", settlement_states.Kind)
def test_the_diagram_has_every_transition_of_the_table_and_no_other(kind: settlement_states.Kind) -> None:
    diagrams = re.findall(r"```mermaid\n(.*?)```", page("protocol.md"), flags=re.DOTALL)
    drawn = {
        (state, trigger, target)
        for state, target, triggers in re.findall(
            r"^ +(\w+) --> (\w+): (.*)$", diagrams[list(settlement_states.Kind).index(kind)], flags=re.MULTILINE
        )
        for trigger in triggers.split(", ")
    }
    names = settlement_states.NAMES[kind]
    table = settlement_states.TABLES[kind]
    assert drawn == {(names[state], trigger.value, names[target]) for (state, trigger), target in table.items()}


@pytest.mark.parametrize(
    ("title", "table"),
    [
        ("### Social application", card_states.SOCIAL_NAMES),
        ("### Bank account", card_states.FINANCIAL_NAMES),
        ("### A step", replacement_states.STEP_NAMES),
        ("### The whole", replacement_states.REPLACEMENT_NAMES),
    ],
)
def test_the_diagrams_of_cards_have_every_transition_and_no_other(
    title: str, table: dict[tuple[str, str], str]
) -> None:
    diagram = page("card.md").split(title)[1].split("```mermaid\n")[1].split("```")[0]
    drawn = {
        (state, trigger, target)
        for state, target, triggers in re.findall(r"^ +(\w+) --> (\w+): (.*)$", diagram, flags=re.MULTILINE)
        for trigger in triggers.split(", ")
    }
    assert drawn == {(state, trigger, target) for (state, trigger), target in table.items()}


def test_a_card_page_without_its_marks_ends_the_run(generator: ModuleType) -> None:
    with pytest.raises(SystemExit, match="lost its marks"):
        generator.card_page("# Cards")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_link_inside_the_project_leads_somewhere(path: Path) -> None:
    content = path.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#]*)#?([^)]*)\)", content):
        linked = path.parent / target if target else path
        assert linked.exists(), f"{path.name} links to {target}"
        if anchor:
            text_there = linked.read_text(encoding="utf-8")
            headings = {
                re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
                for heading in re.findall(r"^#+ (.*)$", text_there, flags=re.MULTILINE)
            }
            assert f'<a id="{anchor}"></a>' in text_there or anchor in headings, f"{path.name}: no #{anchor}"


def test_every_noun_of_the_protocol_stands_in_the_glossary_with_its_chinese_term_and_source(
    files: list[FileDescriptorProto],
) -> None:
    names = {
        name
        for file in files
        for name in (
            *(service.name for service in file.service),
            *(message.name for message in file.message_type),
            *(enum.name for enum in file.enum_type),
        )
    }
    nouns = {re.sub(r"(?<=.)(Request|Response)$", "", name) for name in names}
    rows = [row.strip("|").split("|") for row in page("glossary.md").splitlines() if row.startswith("| ")]
    assert all(len(row) == 4 for row in rows)
    terms = [row for row in rows if row[1].strip() != "中文"]
    assert all(re.search(r"[\u4e00-\u9fff]", row[1]) and row[3].strip() for row in terms)
    assert nouns == {name for row in terms for name in re.findall(r"`(\w+)`", row[2])}


@pytest.mark.parametrize(
    ("field", "number"),
    [
        ("messages` | [SignedMessage", limits.SUBMIT_BATCH_COUNT_MAX),
        ("last_number`", limits.READ_OUTPUTS_COUNT_MAX),
        ("credit_count` | uint32 | Further", limits.DELIVERY_CREDIT_COUNT_MAX),
        ("lines` | [FeeLine](#onecard.medical.v1.FeeLine), repeated | 1", limits.FEE_LINE_COUNT_MAX),
        ("prefixes`", limits.CARD_RANGE_COUNT_MAX),
    ],
)
def test_the_page_of_the_protocol_has_the_bounds_that_are_kept(field: str, number: int) -> None:
    rows = [line for line in page("protocol.md").splitlines() if f"`{field}" in line and line.startswith("| ")]
    assert rows
    assert all(re.search(rf"\b{number:,}\b", row) for row in rows)


@pytest.mark.parametrize("model", [HubSettings, AdapterSettings, Profile])
def test_every_setting_stands_on_the_page_of_settings(model: type[BaseModel]) -> None:
    schema = model.model_json_schema()
    names = {name for one in [schema, *schema["$defs"].values()] for name in one.get("properties", {})}
    named = set(re.findall(r"^\| `(?:[\w.\[\]]+\.)?(\w+)(?:\[\])?` \|", page("settings.md"), flags=re.MULTILINE))
    # A profile's roles stand there as the beginning of their settings' names.
    assert names - {"care", "insured", "card", "bank"} <= named


def test_every_variable_that_the_programs_read_stands_there_too() -> None:
    sources = [path for root in SOURCE_ROOTS for path in (REPOSITORY / root).rglob("*.py")]
    read = {
        name for path in sources for name in re.findall(r"ONECARD_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))
    }
    assert {"ONECARD_CONFIG", "ONECARD_DEBUG"} <= read
    settings = {"ONECARD_GATEWAY__LISTEN", "ONECARD_ADAPTER_HUB__SERVER_NAME"}
    assert read - settings <= set(re.findall(r"`(\w+)`", page("settings.md")))


def test_every_module_that_the_architecture_names_is_there() -> None:
    roots = ("", "broker/onecard_broker", "adapters/onecard_adapters", "proto/python", "province-stubs/onecard_stubs")
    named = re.findall(r"`([\w/-]+(?:\.py|/))`", page("architecture.md"))
    assert len(named) > 40
    missing = {name for name in named if not any((REPOSITORY / root / name).exists() for root in roots)}
    assert not missing
