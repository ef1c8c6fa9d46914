"""Lost and doubled are counted by comparing what everybody holds, never assumed."""

from __future__ import annotations

from typing import Any

from onecard_stubs.scenarios.accounts import Mark, Sent, compare

SINCE = Mark(since_ms=0x018000000000)


def name(sender: str, index: int, *, time_ms: int = SINCE.since_ms + 5) -> str:
    return f"{sender}:{time_ms:012x}7000800000000000{index:04x}"


REQUEST, REPLY = name("cn-44", 1), name("cn-51", 2)


def sent(*names: str) -> list[Sent]:
    return [Sent(name=each, is_refused=False) for each in names]


def audit(*names: str, **changes: Any) -> dict[str, Any]:
    messages = [{"sender": each.partition(":")[0], "id": each.partition(":")[2]} for each in names]
    nothing: dict[str, Any] = {
        "undecided": [],
        "without_outcome": [],
        "rejected": [],
        "delivered_twice": [],
        "answered_twice": [],
        "missing_numbers": [],
        "last_numbers": {"cn-51/3": 1, "cn-44/3": 1},
        "stories": [],
    }
    return {"messages": messages, **nothing, **changes}


RECEIVED = {"cn-44/": 0, "cn-51/": 0, "cn-51/3": 1, "cn-44/3": 1}


def test_all_is_well_where_everybody_holds_the_same() -> None:
    found = compare(sent(REQUEST, REPLY), RECEIVED, audit(REQUEST, REPLY), SINCE)
    assert (found.lost, found.doubled, found.unknown, found.rejected) == ((), (), (), ())
    assert found.journaled == (REQUEST, REPLY)


def test_a_message_of_an_outbox_that_is_not_in_the_journal_is_lost() -> None:
    assert compare(sent(REQUEST, REPLY), RECEIVED, audit(REQUEST), SINCE).lost == (REPLY,)


def test_a_message_that_was_refused_before_the_journal_is_rejected_and_not_lost() -> None:
    found = compare([Sent(name=REQUEST, is_refused=True)], RECEIVED, audit(), SINCE)
    assert found.rejected == (REQUEST,)
    assert found.lost == ()


def test_a_journaled_message_that_nobody_decided_is_lost() -> None:
    assert compare(sent(REQUEST), RECEIVED, audit(REQUEST, undecided=[REQUEST]), SINCE).lost == (REQUEST,)


def test_a_decided_number_that_stands_in_no_inbox_is_lost() -> None:
    found = compare(sent(REQUEST), RECEIVED, audit(REQUEST, missing_numbers=["cn-51/3/2"]), SINCE)
    assert found.lost == ("cn-51/3/2",)


def test_a_number_behind_the_adapters_last_one_is_lost() -> None:
    behind = audit(REQUEST, last_numbers={"cn-51/3": 3})
    assert compare(sent(REQUEST), RECEIVED, behind, SINCE).lost == ("cn-51/3/2", "cn-51/3/3")


def test_the_first_number_of_a_partition_that_an_adapter_never_saw_is_lost() -> None:
    unseen = audit(REQUEST, last_numbers={"cn-51/7": 1})
    assert compare(sent(REQUEST), RECEIVED, unseen, SINCE).lost == ("cn-51/7/1",)


def test_an_inbox_of_a_participant_without_an_adapter_here_is_not_looked_at() -> None:
    elsewhere = audit(REQUEST, last_numbers={"cn-11/0": 5})
    assert compare(sent(REQUEST), RECEIVED, elsewhere, SINCE).lost == ()


def test_two_deliveries_or_two_answers_of_one_request_are_doubled_once() -> None:
    twice = audit(REQUEST, delivered_twice=[REQUEST], answered_twice=[REQUEST])
    assert compare(sent(REQUEST), RECEIVED, twice, SINCE).doubled == (REQUEST,)


def test_a_request_without_outcome_is_unknown() -> None:
    assert compare(sent(REQUEST), RECEIVED, audit(REQUEST, without_outcome=[REQUEST]), SINCE).unknown == (REQUEST,)


def test_what_was_before_the_drill_does_not_count() -> None:
    old = name("cn-44", 9, time_ms=SINCE.since_ms + 1)
    since = Mark(since_ms=SINCE.since_ms, known=frozenset({old}))
    found = compare(sent(old, REQUEST), RECEIVED, audit(old, REQUEST, rejected=[old], delivered_twice=[old]), since)
    assert found.sent == (REQUEST,)
    assert found.journaled == (REQUEST,)
    assert (found.rejected, found.doubled, found.lost) == ((), (), ())


def test_what_an_adapter_whose_clock_is_behind_sends_in_the_drill_counts() -> None:
    early = name("cn-51", 9, time_ms=SINCE.since_ms - 900)
    assert compare(sent(early), RECEIVED, audit(early), SINCE).journaled == (early,)
