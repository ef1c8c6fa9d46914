"""What a worker need not read again, and what it may take for new."""

from __future__ import annotations

import dataclasses

from onecard_broker.domain.model import AggregateKey, KnownMessage, KnownState
from onecard_broker.exchange.recent import KEPT_MS, KnownKey, Recent
from onecard_protocol.identifiers import new_message_id

BEGAN_MS = 1_790_000_000_000


def known(created_ms: int) -> KnownMessage:
    """A request that was made at a time."""
    return KnownMessage(
        sender="cn-44",
        id=new_message_id(created_ms),
        digest=b"d" * 32,
        recipient="cn-51",
        method="/onecard.medical.v1.CoverageService/QueryCoverage",
        subject="aa",
        state=KnownState.OPEN,
    )


def of(message: KnownMessage) -> KnownKey:
    """Its key in partition 3."""
    return 3, message.key


def begun(*, known_count_max: int = 10, states_bytes_max: int = 10_000) -> Recent:
    """One whose partitions were taken at BEGAN_MS."""
    recent = Recent(known_count_max=known_count_max, states_bytes_max=states_bytes_max)
    recent.begin(BEGAN_MS)
    return recent


def test_the_newest_row_of_a_message_is_had() -> None:
    recent, message = begun(), known(BEGAN_MS + 1)
    recent.keep_known({of(message): message})
    decided = dataclasses.replace(message, state=KnownState.DECIDED)
    recent.keep_known({of(message): decided})
    assert recent.known([of(message), (4, message.key)]) == {of(message): decided}


def test_new_is_what_was_made_since_and_is_not_had() -> None:
    recent, message = begun(), known(BEGAN_MS + 1)
    assert recent.seems_new(of(message))
    recent.keep_known({of(message): message})
    assert not recent.seems_new(of(message))
    assert recent.seems_new((4, message.key))
    assert not recent.seems_new(of(known(BEGAN_MS)))


def test_nothing_is_new_before_partitions_were_taken() -> None:
    assert not Recent().seems_new(of(known(BEGAN_MS + 1)))


def test_what_may_have_been_forgotten_is_not_new() -> None:
    recent = begun(known_count_max=2)
    messages = [known(BEGAN_MS + made) for made in (10, 30, 20)]
    recent.keep_known({of(message): message for message in messages[:2]})
    recent.keep_known({of(messages[0]): messages[0]})  # Written once more: the other one goes first.
    recent.keep_known({of(messages[2]): messages[2]})
    assert recent.known(map(of, messages)).keys() == {of(messages[0]), of(messages[2])}
    assert not recent.seems_new(of(messages[1]))
    assert not recent.seems_new(of(known(BEGAN_MS + 30)))
    assert recent.seems_new(of(known(BEGAN_MS + 31)))


def test_that_there_is_no_state_is_had_too() -> None:
    recent, here, gone = begun(), (3, AggregateKey("stay/a")), (3, AggregateKey("stay/b"))
    recent.keep_states({here: b"state", gone: None})
    assert recent.states([here, gone, (3, AggregateKey("stay/c"))]) == {here: b"state", gone: None}


def test_states_take_so_many_bytes_and_no_more() -> None:
    recent, keys = begun(states_bytes_max=2_000), [(3, AggregateKey(f"stay/{number}")) for number in range(3)]
    recent.keep_states({keys[0]: b"a" * 600, keys[1]: b"b" * 600})
    recent.keep_states({keys[0]: b"c" * 600})  # It takes the place of what it was.
    assert recent.states(keys).keys() == {keys[0], keys[1]}
    recent.keep_states({keys[2]: b"d" * 600})
    assert recent.states(keys) == {keys[0]: b"c" * 600, keys[2]: b"d" * 600}


def test_everything_is_forgotten_when_partitions_are_taken() -> None:
    recent, message, state = begun(), known(BEGAN_MS + 1), (3, AggregateKey("stay/a"))
    recent.keep_known({of(message): message})
    recent.keep_states({state: b"state"})
    recent.begin(BEGAN_MS + 5)
    assert not recent.known([of(message)])
    assert not recent.states([state])
    assert not recent.seems_new(of(message))


def test_nothing_is_kept_for_long() -> None:
    recent, message = begun(), known(BEGAN_MS + 1)
    recent.keep_known({of(message): message})
    recent.forget_in_time(BEGAN_MS + KEPT_MS - 1)
    assert recent.known([of(message)])
    recent.forget_in_time(BEGAN_MS + KEPT_MS)
    assert not recent.known([of(message)])
    assert not recent.seems_new(of(known(BEGAN_MS + KEPT_MS)))
    assert recent.seems_new(of(known(BEGAN_MS + KEPT_MS + 1)))
