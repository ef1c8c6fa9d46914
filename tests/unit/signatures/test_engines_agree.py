"""tongsuopy, gmssl and the OpenSSL command accept each other's signatures, and refuse them for other content."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onecard_protocol.signatures.curve import USER_ID, check_private_key
from onecard_protocol.signatures.encodings import der_to_raw, raw_to_der
from onecard_protocol.signatures.engine import Engine, native_engine, pure_engine
from onecard_protocol.signatures.pure import gmssl_key
from tests.support import openssl
from tests.vectors.national import KEYS_BY_START_OF_X, RECOMMENDED

NATIVE = native_engine()
PURE = pure_engine()

private_keys = st.integers(1, RECOMMENDED.n - 2).map(lambda number: number.to_bytes(32, "big"))


@settings(max_examples=8)
@given(private_keys, st.binary(max_size=300))
def test_tongsuopy_and_gmssl_accept_each_other(private_key: bytes, content: bytes) -> None:
    public_key = NATIVE.public_key(private_key)
    assert PURE.public_key(private_key) == public_key
    by_native, by_pure = NATIVE.sign(private_key, content), PURE.sign(private_key, content)
    assert PURE.verify(public_key, content, by_native)
    assert NATIVE.verify(public_key, content, by_pure)
    assert not PURE.verify(public_key, content + b"!", by_native)
    assert not NATIVE.verify(public_key, content + b"!", by_pure)
    assert gmssl_key(None, public_key).verify_with_sm3(by_native.hex(), content)


@pytest.mark.needs("openssl")
@settings(max_examples=5)
@given(private_keys, st.binary(max_size=300))
def test_the_openssl_command_agrees_with_both(private_key: bytes, content: bytes) -> None:
    public_key = NATIVE.public_key(private_key)
    by_command = der_to_raw(openssl.sign(private_key, public_key, content, USER_ID.decode()))
    for engine in (NATIVE, PURE):
        der = raw_to_der(engine.sign(private_key, content))
        assert openssl.verify(public_key, content, der, USER_ID.decode())
        assert engine.verify(public_key, content, by_command)
        assert not engine.verify(public_key, content + b"!", by_command)
    assert not openssl.verify(public_key, content, der, "another id")
    foreign = der_to_raw(openssl.sign(private_key, public_key, content, "another id"))
    assert not NATIVE.verify(public_key, content, foreign)
    assert not PURE.verify(public_key, content, foreign)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(("start", "number"), KEYS_BY_START_OF_X.items())
def test_keys_whose_x_begins_with_0_or_4_sign_and_verify_everywhere(start: str, number: int) -> None:
    private_key = number.to_bytes(32, "big")
    public_key = NATIVE.public_key(private_key)
    assert public_key[1:].hex().startswith(start)
    assert PURE.public_key(private_key) == public_key
    signature = PURE.sign(private_key, b"content")
    assert NATIVE.verify(public_key, b"content", signature)
    assert PURE.verify(public_key, b"content", NATIVE.sign(private_key, b"content"))
    assert openssl.verify(public_key, b"content", raw_to_der(signature), USER_ID.decode())


@pytest.mark.parametrize("engine", [NATIVE, PURE], ids=lambda engine: engine.name)
def test_new_private_keys_are_in_range_and_differ(engine: Engine) -> None:
    keys = {engine.generate_private_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(check_private_key(key) for key in keys)


def test_many_threads_sign_and_verify_with_the_same_keys_at_once() -> None:
    keys = [NATIVE.generate_private_key() for _ in range(3)]
    publics = [NATIVE.public_key(key) for key in keys]
    start = threading.Barrier(4)

    def work(seed: int) -> list[bool]:
        start.wait()
        results = []
        for turn in range(40):
            which = (seed + turn) % 3
            content = f"{seed}-{turn}".encode()
            signature = NATIVE.sign(keys[which], content)
            results.append(
                NATIVE.verify(publics[which], content, signature)
                and not NATIVE.verify(publics[which - 1], content, signature)
                and not NATIVE.verify(publics[which], b"other", signature)
            )
        return results

    with ThreadPoolExecutor(4) as threads:
        results = [result for some in threads.map(work, range(4)) for result in some]
    assert results == [True] * 160
