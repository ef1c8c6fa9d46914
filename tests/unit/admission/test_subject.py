"""Pseudonyms and partitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard_broker.admission.subject import Subjects
from onecard_protocol.identity import normalise_identity
from onecard_protocol.signatures.sm3 import hmac_sm3
from tests.support.messages import citizen_number

KEY = bytes(range(32))


def test_the_pseudonym_is_the_hmac_of_the_normal_form() -> None:
    assert Subjects(KEY, 8).pseudonym("citizen|x") == hmac_sm3(KEY, b"citizen|x").hex()


def test_every_way_to_write_a_person_gives_one_pseudonym() -> None:
    number = next(citizen_number(serial) for serial in range(1000) if citizen_number(serial).endswith("X"))
    subjects = Subjects(KEY, 8)

    ways = [("", number), ("1", number.lower()), ("01", f" {number} "), ("90", number)]

    assert len({subjects.pseudonym(normalise_identity(kind, text)) for kind, text in ways}) == 1


def test_another_key_gives_another_pseudonym() -> None:
    assert Subjects(KEY, 8).pseudonym("citizen|x") != Subjects(bytes(32), 8).pseudonym("citizen|x")


@given(identity=st.text(min_size=1, max_size=40), count=st.integers(min_value=1, max_value=96))
def test_a_person_lies_in_one_partition_of_the_log(identity: str, count: int) -> None:
    subjects = Subjects(KEY, count)
    pseudonym = subjects.pseudonym(identity)

    assert 0 <= subjects.partition_of_pseudonym(pseudonym) < count
    assert subjects.place(identity) == (subjects.partition_of_pseudonym(pseudonym), bytes.fromhex(pseudonym))
    assert subjects.partition_of_pseudonym(pseudonym) == int.from_bytes(bytes.fromhex(pseudonym)[:8], "big") % count


def test_persons_are_spread_over_all_partitions() -> None:
    subjects = Subjects(KEY, 8)

    used = {subjects.partition_of_pseudonym(subjects.pseudonym(f"citizen|{index}")) for index in range(200)}

    assert used == set(range(8))


@given(message_id=st.binary(min_size=16, max_size=16))
def test_a_message_without_a_person_lies_by_its_own_id(message_id: bytes) -> None:
    subjects = Subjects(KEY, 8)

    assert subjects.partition_of_id(message_id) == subjects.partition_of_id(message_id) < 8


def test_the_key_shows_in_no_text_form() -> None:
    assert KEY.hex() not in repr(Subjects(KEY, 8))


@pytest.mark.parametrize(("key", "count"), [(b"short", 8), (KEY, 0)])
def test_a_key_or_count_that_is_none_is_refused(key: bytes, count: int) -> None:
    with pytest.raises(ValueError, match=r"bytes|partition"):
        Subjects(key, count)
