"""Which control records bring a directory to what a file says."""

from __future__ import annotations

import pytest
import yaml

from onecard_broker.directory.differences import Difference, check_signing_key, differences, revocation_of
from onecard_broker.directory.model import EMPTY_DIRECTORY, Directory, KeyStatus
from onecard_broker.directory.yaml_export import to_yaml
from onecard_broker.directory.yaml_file import parse_directory_file
from onecard_protocol.errors import OneCardError, reason_name
from tests.support.directories import NETWORK, new_signer

SETTLE = "/onecard.medical.v1.SettlementService/Settle"
METHODS = [SETTLE, "/onecard.medical.v1.SettlementService/Reverse"]
KEYS = {name: new_signer(name).public_key.hex() for name in ("a-1", "a-2", "b-1")}
NOW_MS = 1_780_000_000_000


def key(name: str, **more: object) -> dict[str, object]:
    return {
        "id": name,
        "public_key": KEYS[name],
        "not_before": "2026-01-01T00:00:00+08:00",
        "not_after": "2030-01-01T00:00:00+08:00",
        **more,
    }


def participant(*keys: dict[str, object], **more: object) -> dict[str, object]:
    return {
        "name_zh": "某省",
        "name_en": "Somewhere",
        "certificate_names": [],
        "may_send": ["/onecard.medical.v1.*"],
        "may_receive": [SETTLE],
        "keys": list(keys),
        **more,
    }


def found(present: Directory, participants: dict[str, object], network: str = NETWORK) -> list[Difference]:
    text = yaml.safe_dump({"network": network, "participants": participants}, allow_unicode=True)
    return differences(present, parse_directory_file(text), network=NETWORK, methods=METHODS, now_ms=NOW_MS)


def applied(present: Directory, participants: dict[str, object]) -> Directory:
    for difference in found(present, participants):
        present = present.apply(difference.record)
    return present


@pytest.fixture
def present() -> Directory:
    return applied(EMPTY_DIRECTORY, {"cn-44": participant(key("a-1")), "cn-51": participant(key("b-1"))})


def test_a_new_directory_takes_participants_and_keys_in_number_order() -> None:
    changes = found(EMPTY_DIRECTORY, {"cn-44": participant(key("a-1"))})

    assert [(one.record.number, one.record.WhichOneof("change")) for one in changes] == [
        (1, "put_participant"),
        (2, "put_key"),
    ]


def test_the_same_file_again_changes_nothing(present: Directory) -> None:
    assert found(present, {"cn-44": participant(key("a-1")), "cn-51": participant(key("b-1"))}) == []


def test_only_what_differs_is_recorded(present: Directory) -> None:
    changes = found(
        present, {"cn-44": participant(key("a-1"), key("a-2")), "cn-51": participant(key("b-1"), may_send=[])}
    )

    assert [(one.subject, one.record.number) for one in changes] == [
        ("cn-51", present.version + 1),
        ("a-2", present.version + 2),
    ]
    assert "may_send" in changes[0].what


def test_a_participant_that_left_the_file_loses_its_rights_and_its_valid_keys(present: Directory) -> None:
    after = applied(present, {"cn-44": participant(key("a-1"))})

    assert not after.may_send("cn-51", SETTLE)
    assert after.key_status("b-1", NOW_MS) is KeyStatus.REVOKED
    assert found(after, {"cn-44": participant(key("a-1"))}) == []


@pytest.mark.parametrize("signer", ["b-1", "not in the directory"])
@pytest.mark.parametrize(
    "entries",
    [
        {"cn-00": participant(), "cn-44": participant()},
        {"cn-44": participant(key("a-1"))},
        {"cn-00": participant(key("b-1", not_after="2026-01-02T00:00:00+08:00"), key("a-2"))},
        {"cn-00": participant(key("b-1", not_before="2029-01-01T00:00:00+08:00"))},
        {"cn-00": participant(key("b-1", revoked={"at": "2026-01-02T00:00:00+08:00", "cause": "lost"}))},
    ],
)
def test_the_key_that_signs_the_changes_must_outlast_them(entries: dict[str, object], signer: str) -> None:
    present = applied(EMPTY_DIRECTORY, {"cn-00": participant(key("b-1"))})
    changes = found(present, entries)
    if signer == "b-1":
        with pytest.raises(OneCardError, match="b-1, which is not valid before or after them"):
            check_signing_key(present, changes, signer, now_ms=NOW_MS)
    else:
        check_signing_key(present, changes, signer, now_ms=NOW_MS)


def test_a_key_that_has_ended_does_not_sign_that_it_goes_on() -> None:
    present = applied(
        EMPTY_DIRECTORY, {"cn-00": participant(key("b-1", not_after="2026-01-02T00:00:00+08:00"), key("a-2"))}
    )
    longer: dict[str, object] = {"cn-00": participant(key("b-1"), key("a-2"))}
    with pytest.raises(OneCardError, match="nobody would ever follow"):
        check_signing_key(present, found(present, longer), "b-1", now_ms=NOW_MS)
    check_signing_key(present, found(present, longer), "a-2", now_ms=NOW_MS)
    check_signing_key(present, [], "b-1", now_ms=NOW_MS)


def test_a_key_that_expired_may_leave_the_file_silently() -> None:
    present = applied(
        EMPTY_DIRECTORY, {"cn-44": participant(key("a-1", not_after="2026-01-02T00:00:00+08:00"), key("a-2"))}
    )

    assert found(present, {"cn-44": participant(key("a-2"))}) == []


def test_a_revocation_in_the_file_is_recorded_once(present: Directory) -> None:
    revoked = {"revoked": {"at": "2026-06-01T00:00:00+08:00", "cause": "lost card"}}
    after = applied(present, {"cn-44": participant(key("a-1", **revoked)), "cn-51": participant(key("b-1"))})

    assert after.key_status("a-1", NOW_MS + 10**10) is KeyStatus.REVOKED
    assert found(after, {"cn-44": participant(key("a-1", **revoked)), "cn-51": participant(key("b-1"))}) == []
    assert found(after, {"cn-44": participant(key("a-1")), "cn-51": participant(key("b-1"))}) == []


def test_a_later_revocation_is_refused(present: Directory) -> None:
    first = {"revoked": {"at": "2026-06-01T00:00:00+08:00", "cause": "lost"}}
    later = {"revoked": {"at": "2026-07-01T00:00:00+08:00", "cause": "lost"}}
    after = applied(present, {"cn-44": participant(key("a-1", **first)), "cn-51": participant(key("b-1"))})

    with pytest.raises(OneCardError, match="吊销时间不得推后"):
        found(after, {"cn-44": participant(key("a-1", **later)), "cn-51": participant(key("b-1"))})


def test_an_id_is_never_used_for_another_key(present: Directory) -> None:
    other = {**key("a-1"), "public_key": KEYS["a-2"]}

    with pytest.raises(OneCardError, match=r"participants\.cn-44\.keys\.0\.id"):
        found(present, {"cn-44": participant(other)})


def test_a_file_of_another_network_is_refused() -> None:
    with pytest.raises(OneCardError, match="test-unit"):
        found(EMPTY_DIRECTORY, {}, network="production")


def test_a_pattern_that_no_method_matches_is_refused() -> None:
    with pytest.raises(OneCardError, match=r"participants\.cn-44\.may_send\.0.*no such method"):
        found(EMPTY_DIRECTORY, {"cn-44": participant(may_send=["/onecard.pension.v1.*"])})


def test_one_key_is_revoked_by_its_id(present: Directory) -> None:
    record = revocation_of(present, "a-1", at_ms=NOW_MS, cause="lost").record
    after = present.apply(record)

    assert record.number == present.version + 1
    assert after.key_status("a-1", NOW_MS) is KeyStatus.REVOKED


@pytest.mark.parametrize(("key_id", "reason"), [("nobody", "KEY_UNKNOWN"), ("a-1", "KEY_REVOKED")])
def test_a_revocation_without_effect_is_refused(present: Directory, key_id: str, reason: str) -> None:
    after = present.apply(revocation_of(present, "a-1", at_ms=NOW_MS, cause="lost").record)

    with pytest.raises(OneCardError) as raised:
        revocation_of(after, key_id, at_ms=NOW_MS + 1, cause="again")

    assert reason_name(raised.value.reason) == reason


def test_feeds_are_put_told_by_package_and_end_with_the_participant() -> None:
    takes = {"feeds": [{"package": "onecard.medical.v1", "residents_of": ["cn-45", "cn-11"]}]}
    everything = {"feeds": [{"package": "onecard.medical.v1", "everything": True}]}

    directory = applied(
        EMPTY_DIRECTORY, {"cn-44": participant(key("a-1"), **takes), "cn-51": participant(key("b-1"), **everything)}
    )
    feeds = directory.feeds["onecard.medical.v1"]

    assert feeds.of_province("cn-45") == {"cn-44", "cn-51"}
    assert feeds.of_province("cn-65") == {"cn-51"}
    exported = parse_directory_file(to_yaml(directory, NETWORK))
    assert differences(directory, exported, network=NETWORK, methods=METHODS, now_ms=NOW_MS) == []
    assert applied(directory, {}).feeds == {}


def test_a_feed_of_a_package_that_no_method_has_is_refused() -> None:
    with pytest.raises(OneCardError) as caught:
        found(EMPTY_DIRECTORY, {"cn-44": participant(feeds=[{"package": "onecard.none.v1", "everything": True}])})

    assert [place for place, _ in caught.value.violations] == ["participants.cn-44.feeds.0.package"]


@pytest.mark.parametrize(
    "feeds",
    [
        [{"package": "onecard.medical.v1"}],
        [{"package": "onecard.medical.v1", "everything": True, "residents_of": ["cn-45"]}],
        [{"package": "onecard.medical.v1", "residents_of": ["bank-102"]}],
        [{"package": "onecard.medical.v1", "everything": True}] * 2,
    ],
)
def test_a_feed_that_says_nothing_or_two_things_is_refused(feeds: object) -> None:
    with pytest.raises(OneCardError):
        found(EMPTY_DIRECTORY, {"cn-44": participant(feeds=feeds)})
