"""Checks by tables say what the standard's plain numbers say, at the places where points meet or vanish too."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tongsuopy.backends import _tongsuo

from onecard_protocol.signatures import tables
from onecard_protocol.signatures.curve import ORDER, signed_digest
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.tables import TableVerifier
from tests.bench.plain import plain_tongsuopy
from tests.support import sm2_reference
from tests.support.sm2_engines import new_engine
from tests.vectors.national import RECOMMENDED, VECTOR_A

TABLES = TableVerifier(_tongsuo.__file__)
BY_TABLES, WITHOUT = native_engine(), plain_tongsuopy()
scalars = st.integers(1, ORDER - 1)


def public_of(private: int) -> tuple[bytes, tuple[int, int]]:
    point = sm2_reference.multiply(RECOMMENDED, private, sm2_reference.base(RECOMMENDED))
    assert point is not None
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big"), point


def says(private: int, e: int, r: int, s: int) -> bool:
    """What the tables say, which must be what the plain numbers say."""
    key, point = public_of(private)
    by_tables = TABLES.is_signed(key, e.to_bytes(32, "big"), r, s)
    assert by_tables == sm2_reference.verify_digest(RECOMMENDED, point, e, r, s)
    return by_tables


@settings(max_examples=10)
@given(st.integers(1, ORDER - 2), st.integers(0, 2**256 - 1), scalars)
def test_what_the_standard_signs_is_accepted_and_nothing_that_the_plain_numbers_refuse(
    private: int, e: int, nonce: int
) -> None:
    r, s = sm2_reference.sign_digest(RECOMMENDED, private, e, nonce)
    assert says(private, e, r, s)
    assert not says(private, (e + 1) % 2**256, r, s)
    # Nearly always no signature; of a key like n-3 it may be one, of the opposite point. The plain numbers know.
    says(private, e, r, s % (ORDER - 1) + 1)


@settings(max_examples=5)
@given(st.integers(1, ORDER - 2), scalars)
def test_a_sum_at_infinity_is_no_signature_and_the_next_check_is_right(private: int, t: int) -> None:
    s = -t * private % ORDER
    r = (t - s) % ORDER
    key, _ = public_of(private)
    assert not TABLES.is_signed(key, bytes(32), r, s)
    e = int.from_bytes(b"after it", "big")
    assert says(private, e, *sm2_reference.sign_digest(RECOMMENDED, private, e, 7))


@settings(max_examples=5)
@given(st.integers(1, ORDER - 2), scalars)
def test_two_parts_at_one_point_are_doubled(private: int, t: int) -> None:
    s = t * private % ORDER
    r = (t - s) % ORDER
    _, point = public_of(private)
    doubled = sm2_reference.multiply(RECOMMENDED, 2 * t % ORDER, point)
    assert doubled is not None
    if r and (r + s) % ORDER:
        assert says(private, (r - doubled[0]) % ORDER, r, s)


@settings(max_examples=30)
@given(st.binary(max_size=200), st.binary(min_size=64, max_size=64))
def test_random_bytes_are_a_signature_for_neither_way_of_checking(content: bytes, signature: bytes) -> None:
    assert not BY_TABLES.verify(VECTOR_A.public_key, content, signature)
    assert not WITHOUT.verify(VECTOR_A.public_key, content, signature)


def test_threads_check_with_the_same_tables_at_once_and_with_more_keys_than_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "_TABLES_MAX", 2)
    verifier = TableVerifier(_tongsuo.__file__)
    signed = []
    for number in range(5):
        private = BY_TABLES.generate_private_key()
        content = b"%d" % number
        signed.append((BY_TABLES.public_key(private), content, BY_TABLES.sign(private, content)))
    start = threading.Barrier(4)

    def work(seed: int) -> bool:
        start.wait()
        right = True
        for index in range(100):
            key, content, signature = signed[(seed + index) % 5]
            digest = signed_digest(key, content)
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            right &= verifier.is_signed(key, digest, r, s) and not verifier.is_signed(key, bytes(32), r, s)
        return right

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(work, range(4)))


def test_the_locked_wheel_gives_access_to_the_functions(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        new_engine()
    assert not caplog.records


def test_tables_that_tell_a_known_signature_wrong_are_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for answer in (True, False):
        monkeypatch.setattr(TableVerifier, "is_signed", lambda *_, answer=answer: answer)
        engine = new_engine()
        assert engine.verify(VECTOR_A.public_key, VECTOR_A.message, VECTOR_A.signature)
        assert not engine.verify(VECTOR_A.public_key, b"another", VECTOR_A.signature)
    assert caplog.text.count("a known signature is told wrong") == 2


def test_a_build_without_the_functions_checks_all_the_same_and_says_that_it_is_slower(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(tables._QUICK, "EC_GROUP_of_another_build", (None,))
    engine = new_engine()
    assert "EC_GROUP_of_another_build" in caplog.text
    assert "twice as long" in caplog.text
    assert engine.verify(VECTOR_A.public_key, VECTOR_A.message, VECTOR_A.signature)


def test_a_library_that_is_none_is_said() -> None:
    with pytest.raises(OSError, match="nowhere"):
        TableVerifier("/nowhere/libcrypto.so")
    with pytest.raises(AttributeError):
        TableVerifier("libc.so.6")
