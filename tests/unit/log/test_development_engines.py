"""What the development engines say when something is missing, and headers as the embedded log stores them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard_broker.log.embedded_tables import decode_headers, encode_headers
from onecard_stubs.dev.kafka import KafkaCluster
from onecard_stubs.dev.kafka_jars import KafkaMissing, find_program, missing_programs

HEADERS = st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=40)), max_size=5).map(tuple)


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No program on the path, no cache, no installation."""
    for name in ("JAVA_HOME", "KAFKA_HOME", "ONECARD_KAFKA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(("program", "package"), [("java", "default-jre-headless"), ("mvn", "apt-get install maven")])
def test_a_missing_program_is_named_with_its_package(bare_machine: Path, program: str, package: str) -> None:
    with pytest.raises(KafkaMissing, match=package) as raised:
        find_program(program)
    assert "brew install" in str(raised.value)


def test_kafka_is_missing_on_a_bare_machine(bare_machine: Path) -> None:
    assert "java" in (missing_programs() or "")


def test_an_installation_without_kafka_in_it_is_refused(bare_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = bare_machine / "java"
    java.touch(mode=0o755)
    monkeypatch.setenv("KAFKA_HOME", str(bare_machine))
    assert "KAFKA_HOME" in (missing_programs() or "")
    (bare_machine / "libs").mkdir()
    (bare_machine / "libs" / "kafka_2.13-4.3.1.jar").touch()
    assert missing_programs() is None


def test_a_cluster_of_two_brokers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 or 3"):
        KafkaCluster(tmp_path, broker_count=2)


@given(HEADERS)
def test_stored_headers_come_back(headers: tuple[tuple[str, bytes], ...]) -> None:
    assert decode_headers(encode_headers(headers)) == headers


def test_cut_off_headers_are_refused() -> None:
    stored = encode_headers((("name", b"value"),))
    for length in range(1, len(stored)):
        with pytest.raises(ValueError, match="cut off"):
            decode_headers(stored[:length])
