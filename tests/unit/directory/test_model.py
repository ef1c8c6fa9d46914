"""What control records make of a directory, and what it answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.exchange.v1 import control_pb2
from onecard_broker.directory.model import EMPTY_DIRECTORY, Directory, KeyStatus, MethodPatterns, NumberGap
from onecard_protocol.messages import timestamp
from tests.support.directories import (
    FOREVER_MS,
    certificate_name,
    directory_of,
    new_signer,
    numbered,
    put_key,
    put_participant,
    revoke_key,
)

SETTLE = "/onecard.medical.v1.SettlementService/Settle"
SIGNER = new_signer("cn-44-1")


def directory_with_key(not_before_ms: int = 1_000, not_after_ms: int = 2_000) -> Directory:
    return directory_of(
        put_participant("cn-44"), put_key("cn-44", SIGNER, not_before_ms=not_before_ms, not_after_ms=not_after_ms)
    )


@pytest.mark.parametrize(
    ("at_ms", "status"),
    [(999, KeyStatus.NOT_YET), (1_000, KeyStatus.OK), (1_999, KeyStatus.OK), (2_000, KeyStatus.EXPIRED)],
)
def test_a_key_is_valid_from_its_first_instant_until_its_last(at_ms: int, status: KeyStatus) -> None:
    assert directory_with_key().key_status("cn-44-1", at_ms) is status


@pytest.mark.parametrize(
    ("at_ms", "status"), [(1_499, KeyStatus.OK), (1_500, KeyStatus.REVOKED), (2_500, KeyStatus.REVOKED)]
)
def test_a_revocation_counts_from_its_instant_and_before_expiry(at_ms: int, status: KeyStatus) -> None:
    directory = directory_of(revoke_key("cn-44-1", 1_500), onto=directory_with_key())

    assert directory.key_status("cn-44-1", at_ms) is status


def test_putting_a_revoked_key_again_does_not_lift_its_revocation() -> None:
    directory = directory_of(
        revoke_key("cn-44-1", 1_500), put_key("cn-44", SIGNER, not_after_ms=FOREVER_MS), onto=directory_with_key()
    )

    assert directory.key_status("cn-44-1", 5_000) is KeyStatus.REVOKED


def test_a_key_that_was_revoked_before_it_was_put_is_revoked() -> None:
    directory = directory_of(revoke_key("cn-44-1", 1_500), put_key("cn-44", SIGNER))

    assert directory.key_status("cn-44-1", 1_500) is KeyStatus.REVOKED


def test_a_revocation_moves_to_an_earlier_instant_and_never_to_a_later_one() -> None:
    earlier = directory_of(revoke_key("cn-44-1", 1_500), revoke_key("cn-44-1", 1_200), onto=directory_with_key())
    later = directory_of(revoke_key("cn-44-1", 1_500), revoke_key("cn-44-1", 1_800), onto=directory_with_key())

    assert earlier.revocations["cn-44-1"][0] == 1_200
    assert later.revocations["cn-44-1"][0] == 1_500


def test_two_keys_of_a_participant_may_overlap() -> None:
    directory = directory_of(
        put_key("cn-44", new_signer("old"), not_before_ms=0, not_after_ms=200),
        put_key("cn-44", new_signer("new"), not_before_ms=100, not_after_ms=300),
    )

    assert [directory.key_status(key, 150) for key in ("old", "new")] == [KeyStatus.OK, KeyStatus.OK]
    assert [key.key_id for key in directory.keys_of("cn-44")] == ["old", "new"]


def test_an_unknown_key_has_no_status() -> None:
    assert EMPTY_DIRECTORY.key_status("nobody", 0) is None


def test_a_repeated_number_and_a_tick_do_nothing() -> None:
    directory = directory_with_key()

    assert directory.apply(numbered(put_participant("cn-51"), first=2)[0]) is directory
    assert directory.apply(control_pb2.ControlRecord(number=99)) is directory


def test_a_missing_number_is_an_error() -> None:
    with pytest.raises(NumberGap) as raised:
        EMPTY_DIRECTORY.apply(numbered(put_participant("cn-44"), first=2)[0])

    assert (raised.value.expected, raised.value.found) == (1, 2)


def test_a_disposition_moves_the_version_only() -> None:
    directory = directory_with_key()
    record = control_pb2.ControlRecord(dispose_message=control_pb2.MessageDisposition(partition=1, sender="cn-44"))

    after = directory_of(record, onto=directory)

    assert after.version == directory.version + 1
    assert (after.participants, after.keys) == (directory.participants, directory.keys)


def test_an_earlier_directory_stays_as_it_was() -> None:
    before = directory_with_key()

    directory_of(revoke_key("cn-44-1", 1_500), put_participant("cn-51"), onto=before)

    assert before.key_status("cn-44-1", 1_600) is KeyStatus.OK
    assert "cn-51" not in before.participants


def test_rights_are_denied_by_default() -> None:
    directory = directory_of(put_participant("cn-44", ()))

    assert not directory.may_send("cn-44", SETTLE)
    assert not directory.may_receive("cn-44", SETTLE)
    assert not directory.may_send("cn-51", SETTLE)


@pytest.mark.parametrize(
    ("pattern", "is_match"),
    [
        ("/onecard.medical.v1.*", True),
        (SETTLE, True),
        ("/onecard.medical.v10.*", False),
        ("/onecard.pension.v1.*", False),
        ("/onecard.medical.v1.SettlementService/Reverse", False),
    ],
)
def test_a_pattern_names_a_method_or_a_package(pattern: str, is_match: bool) -> None:
    assert MethodPatterns((pattern,)).matches(SETTLE) is is_match


def test_a_certificate_belongs_to_the_participant_that_names_it() -> None:
    directory = directory_of(put_participant("cn-44"), put_participant("cn-51"))

    assert directory.participant_of_certificate(frozenset({certificate_name("cn-51"), "other"})) == "cn-51"
    assert directory.participant_of_certificate(frozenset({"other"})) is None
    assert directory.participant_of_certificate(frozenset(map(certificate_name, ("cn-44", "cn-51")))) is None


def test_maintenance_begins_and_ends() -> None:
    record = put_participant("cn-44")
    record.put_participant.maintenance.CopyFrom(
        control_pb2.MaintenanceWindow(start_time=timestamp(100), end_time=timestamp(200))
    )
    participant = directory_of(record).participants["cn-44"]

    assert [participant.is_in_maintenance(at_ms) for at_ms in (99, 100, 199, 200)] == [False, True, True, False]


@given(cut=st.integers(min_value=0, max_value=6))
def test_records_read_again_from_anywhere_give_the_same_directory(cut: int) -> None:
    records = numbered(
        put_participant("cn-44"),
        put_key("cn-44", SIGNER),
        put_participant("cn-51"),
        revoke_key("cn-44-1", 1_500),
        put_participant("cn-44", (SETTLE,)),
        put_key("cn-44", SIGNER, not_after_ms=9_000),
    )
    directory = EMPTY_DIRECTORY
    for record in [*records[:cut], *records]:
        directory = directory.apply(record)
    once = EMPTY_DIRECTORY
    for record in records:
        once = once.apply(record)

    assert directory == once
