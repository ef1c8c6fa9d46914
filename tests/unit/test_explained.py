"""What stops a command is told with what happened, why, and what to do, in both languages."""

from __future__ import annotations

import errno

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.explained import ExitCode, Explanation, explain, language_of


def test_a_refusal_of_the_catalogue_keeps_its_reason_detail_and_fields() -> None:
    error = OneCardError(
        errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, "hub.yaml is not valid", violations=[("gateway.listen", "is no")]
    )
    told = explain(error)
    assert told.reason == "CONFIGURATION_INVALID"
    assert told.why == ("hub.yaml is not valid", "gateway.listen: is no")
    assert told.exit_code is ExitCode.NOT_SET_UP
    assert told.what.zh == "配置无效。详情指出配置项。"


@pytest.mark.parametrize(
    ("reason", "exit_code"),
    [
        (errors_pb2.ERROR_REASON_HUB_NOT_READY, ExitCode.UNREACHABLE),
        (errors_pb2.ERROR_REASON_KEY_REVOKED, ExitCode.REFUSED),
        (errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN, ExitCode.IN_DOUBT),
        (errors_pb2.ERROR_REASON_STORE_TOO_NEW, ExitCode.NOT_SET_UP),
    ],
)
def test_the_exit_code_says_whose_turn_it_is(reason: int, exit_code: ExitCode) -> None:
    assert explain(OneCardError(reason)).exit_code is exit_code


def test_every_reason_of_the_catalogue_is_explained_in_both_languages() -> None:
    for value in errors_pb2.ErrorReason.DESCRIPTOR.values[1:]:
        told = explain(OneCardError(value.number))
        for text in (told.what, told.remedy):
            assert text.en
            assert text.zh


def test_a_taken_port_is_recognised_by_its_number() -> None:
    assert "port" in explain(OSError(errno.EADDRINUSE, "Address already in use")).what.en


def test_what_did_not_answer_in_time_was_not_refused_by_the_operating_system() -> None:
    told = explain(TimeoutError())
    assert told.exit_code is ExitCode.UNREACHABLE
    assert "in time" in told.what.en


def test_the_database_being_away_is_no_fault_of_the_program() -> None:
    import psycopg

    told = explain(psycopg.OperationalError("connection to server failed"))
    assert told.exit_code is ExitCode.UNREACHABLE
    assert "PostgreSQL" in told.what.en


def test_missing_java_names_the_package_and_the_way_without_kafka() -> None:
    from onecard_stubs.dev.kafka_jars import KafkaMissing

    told = explain(KafkaMissing("no `java` on the path. apt-get install default-jre-headless"))
    assert told.exit_code is ExitCode.NOT_SET_UP
    assert "default-jre-headless" in told.why[0]
    assert "embedded" in told.remedy.en


def test_errors_of_subclasses_are_recognised_by_their_bases() -> None:
    from onecard_broker.log.port import LogUnavailable, TopicMismatch

    assert explain(LogUnavailable("away")).exit_code is ExitCode.UNREACHABLE
    assert explain(TopicMismatch(["partitions 8, not 96"])).exit_code is ExitCode.NOT_SET_UP


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LC_MESSAGES": "zh_TW", "LANG": "en_US"}, "zh"),
        ({}, "en"),
        ({"LC_ALL": "", "LANG": "zh_CN"}, "zh"),
    ],
)
def test_the_locale_chooses_the_language(environment: dict[str, str], language: str) -> None:
    assert language_of(environment) == language


def test_an_explanation_says_at_least_what_happened_and_what_to_do() -> None:
    told = explain(RuntimeError("anything"))
    assert isinstance(told, Explanation)
    assert told.exit_code is ExitCode.FAULT
    assert "--debug" in told.remedy.en
