"""Signature blocks: one purpose each, each message of a batch verifiable alone, nothing in a block to be changed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from onecard.exchange.v1 import message_pb2
from onecard_protocol import limits
from onecard_protocol.messages import MESSAGE_CONTEXT, RECEIPT_CONTEXT
from onecard_protocol.signatures.blocks import (
    BATCH_CONTEXT,
    BlockVerifier,
    SignedContent,
    framed,
    leaf_digests,
    sign_batch,
    sign_one,
    signed_root,
)
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import EngineSigner
from onecard_protocol.signatures.sm3 import sm3
from onecard_protocol.signatures.tree import BatchTree

ENGINE = native_engine()
SIGNER = EngineSigner(ENGINE, "cn-44-2026-1", ENGINE.generate_private_key())
OTHER_SIGNER = EngineSigner(ENGINE, "cn-51-2026-1", ENGINE.generate_private_key())
CONTENTS = [f"header {place}".encode() for place in range(7)]

Block = message_pb2.SignatureBlock


class CountingEngine:
    """The native engine, counting its checks; each can be held until the test lets it go."""

    name = "counting"
    is_native = True

    def __init__(self, before_check: Callable[[], object] = lambda: None) -> None:
        self.checks: Counter[bytes] = Counter()
        self._before_check = before_check

    def generate_private_key(self) -> bytes:
        return ENGINE.generate_private_key()

    def public_key(self, private: bytes) -> bytes:
        return ENGINE.public_key(private)

    def sign(self, private: bytes, content: bytes) -> bytes:
        return ENGINE.sign(private, content)

    def verify(self, public: bytes, content: bytes, signature: bytes) -> bool:
        self.checks[content] += 1
        self._before_check()
        return ENGINE.verify(public, content, signature)


def batch_blocks(contents: list[bytes] = CONTENTS) -> list[Block]:
    return [Block.FromString(block) for block in sign_batch(SIGNER, MESSAGE_CONTEXT, contents)]


def is_valid(content: bytes, block: Block, *, context: bytes = MESSAGE_CONTEXT, key: bytes = SIGNER.public_key) -> bool:
    """By a new verifier that remembers nothing, one by one and as a batch, which must agree."""
    alone = BlockVerifier(ENGINE).verify(context, content, block, key)
    item = SignedContent(context=context, content=content, block=block, public_key=key)
    assert BlockVerifier(ENGINE).verify_batch([item]) == [alone]
    return alone


def test_what_is_signed_has_exactly_the_bytes_of_the_protocol() -> None:
    assert framed(b"onecard.v1.message", b"\x01\x02") == b"\x00\x00\x00\x12onecard.v1.message\x01\x02"
    assert signed_root(258, b"r" * 32) == b"\x00\x00\x00\x10onecard.v1.batch\x00\x00\x01\x02" + b"r" * 32
    assert leaf_digests(b"onecard.v1.receipt")(b"x") == sm3(b"\x00\x00\x00\x00\x12onecard.v1.receiptx")


def test_a_content_signed_alone_verifies_and_has_no_proof() -> None:
    block = Block.FromString(sign_one(SIGNER, MESSAGE_CONTEXT, b"header"))
    assert not block.HasField("batch_proof")
    assert block.key_id == "cn-44-2026-1"
    assert ENGINE.verify(SIGNER.public_key, framed(MESSAGE_CONTEXT, b"header"), block.signature)
    assert is_valid(b"header", block)
    assert not is_valid(b"Header", block)
    assert not is_valid(b"header", block, key=OTHER_SIGNER.public_key)


def test_the_blocks_of_a_batch_have_the_bytes_that_protobuf_gives_them() -> None:
    for block in sign_batch(SIGNER, MESSAGE_CONTEXT, CONTENTS):
        assert Block.FromString(block).SerializeToString(deterministic=True) == block


def test_each_message_of_a_batch_verifies_alone() -> None:
    blocks = batch_blocks()
    assert len({block.signature for block in blocks}) == 1
    for content, block in zip(CONTENTS, blocks, strict=True):
        assert is_valid(content, block)
        assert not is_valid(content + b"!", block)
        assert not is_valid(content, block, key=OTHER_SIGNER.public_key)


def test_a_batch_of_one_is_signed_alone_and_an_empty_one_is_nothing() -> None:
    [block] = batch_blocks([b"header"])
    assert not block.HasField("batch_proof")
    assert is_valid(b"header", block)
    assert sign_batch(SIGNER, MESSAGE_CONTEXT, []) == []


def test_a_batch_above_the_limit_is_not_signed_and_the_largest_fits_its_bound() -> None:
    contents = [str(place).encode() for place in range(limits.BATCH_LEAF_COUNT_MAX)]
    blocks = sign_batch(SIGNER, MESSAGE_CONTEXT, contents)
    assert max(map(len, blocks)) + limits.KEY_ID_CHARACTERS_MAX < limits.SIGNATURE_BLOCK_BYTES_MAX
    assert is_valid(contents[-1], Block.FromString(blocks[-1]))
    with pytest.raises(ValueError, match="at most"):
        sign_batch(SIGNER, MESSAGE_CONTEXT, [*contents, b"one more"])


def test_a_proof_for_a_tree_of_one_is_refused_although_its_root_is_the_leaf() -> None:
    leaf = leaf_digests(MESSAGE_CONTEXT)(b"header")
    block = Block(key_id=SIGNER.key_id, signature=SIGNER.sign(signed_root(1, leaf)))
    block.batch_proof.leaf_count = 1
    assert not is_valid(b"header", block)


def test_a_proof_above_the_limit_is_refused_although_it_is_right() -> None:
    leaves = [leaf_digests(MESSAGE_CONTEXT)(bytes([place >> 8, place & 255])) for place in range(1025)]
    tree = BatchTree(leaves)
    block = Block(key_id=SIGNER.key_id, signature=SIGNER.sign(signed_root(1025, tree.root)))
    block.batch_proof.leaf_count = 1025
    block.batch_proof.path.extend(tree.proof(0))
    assert not is_valid(b"\x00\x00", block)


@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_any_bit_of_signature_index_count_or_path_turned_is_refused(count: int) -> None:
    contents = CONTENTS[:count]
    for place, block in enumerate(batch_blocks(contents)):
        wrong: list[Block] = []
        for bit in range(12):
            for field in ("leaf_index", "leaf_count"):
                changed = Block.FromString(block.SerializeToString())
                setattr(changed.batch_proof, field, getattr(block.batch_proof, field) ^ (1 << bit))
                wrong.append(changed)
        for step, sibling in enumerate(block.batch_proof.path):
            for bit in range(0, 256, 37):
                changed = Block.FromString(block.SerializeToString())
                changed.batch_proof.path[step] = (int.from_bytes(sibling, "big") ^ (1 << bit)).to_bytes(32, "big")
                wrong.append(changed)
        for bit in range(0, 512, 101):
            changed = Block.FromString(block.SerializeToString())
            changed.signature = (int.from_bytes(block.signature, "big") ^ (1 << bit)).to_bytes(64, "big")
            wrong.append(changed)
        assert is_valid(contents[place], block)
        assert not any(is_valid(contents[place], changed) for changed in wrong)


def test_a_proof_that_is_longer_or_shorter_or_of_crooked_digests_is_refused() -> None:
    block = batch_blocks()[3]
    path = list(block.batch_proof.path)
    for wrong in (
        path[:-1],
        [],
        [*path, bytes(32)],
        [*path, path[-1]],
        [*path[:-1], path[-1] + b"\x00"],
        [*path[:-1], path[-1][:-1]],
        [path[0] + path[1], *path[2:]],
        path[::-1],
    ):
        changed = Block(key_id=block.key_id, signature=block.signature)
        changed.batch_proof.leaf_index, changed.batch_proof.leaf_count = 3, 7
        changed.batch_proof.path.extend(wrong)
        assert not is_valid(CONTENTS[3], changed)


def test_a_proof_of_another_message_or_of_another_batch_is_refused() -> None:
    blocks, others = batch_blocks(), batch_blocks([content + b"'" for content in CONTENTS])
    assert not is_valid(CONTENTS[0], blocks[1])
    assert not is_valid(CONTENTS[0], others[0])
    mixed = Block.FromString(blocks[0].SerializeToString())
    mixed.signature = others[0].signature
    assert not is_valid(CONTENTS[0], mixed)


def test_a_signature_with_its_proof_removed_or_a_proof_added_is_refused() -> None:
    batch, alone = batch_blocks()[0], Block.FromString(sign_one(SIGNER, MESSAGE_CONTEXT, CONTENTS[0]))
    stripped = Block(key_id=batch.key_id, signature=batch.signature)
    dressed = Block(key_id=batch.key_id, signature=alone.signature, batch_proof=batch.batch_proof)
    assert not is_valid(CONTENTS[0], stripped)
    assert not is_valid(CONTENTS[0], dressed)


@pytest.mark.parametrize("sign_for", [MESSAGE_CONTEXT, RECEIPT_CONTEXT, b"onecard.v1.other"])
def test_a_signature_for_one_purpose_never_passes_for_another(sign_for: bytes) -> None:
    contexts = (MESSAGE_CONTEXT, RECEIPT_CONTEXT, BATCH_CONTEXT, b"onecard.v1.other", b"")
    alone = Block.FromString(sign_one(SIGNER, sign_for, CONTENTS[0]))
    by_batch = Block.FromString(sign_batch(SIGNER, sign_for, CONTENTS)[0])
    for block in (alone, by_batch):
        assert [context for context in contexts if is_valid(CONTENTS[0], block, context=context)] == [sign_for]


def test_characters_cannot_move_between_context_and_content() -> None:
    block = Block.FromString(sign_one(SIGNER, b"onecard.v1.message", b"header"))
    assert not is_valid(b"eheader", block, context=b"onecard.v1.messag")
    assert not is_valid(b"eader", block, context=b"onecard.v1.messageh")


def test_a_node_never_passes_for_a_leaf_nor_the_root_for_a_message() -> None:
    contents = CONTENTS[:4]
    tree = BatchTree(list(map(leaf_digests(MESSAGE_CONTEXT), contents)))
    signature = Block.FromString(sign_batch(SIGNER, MESSAGE_CONTEXT, contents)[0]).signature
    children = leaf_digests(MESSAGE_CONTEXT)(contents[0]) + leaf_digests(MESSAGE_CONTEXT)(contents[1])
    for forged_content in (children, b"\x01" + children, sm3(b"\x01" + children), tree.root):
        for count, path in ((2, tree.proof(0)[1:]), (4, tree.proof(0)[1:]), (4, tree.proof(0))):
            forged = Block(key_id=SIGNER.key_id, signature=signature)
            forged.batch_proof.leaf_count = count
            forged.batch_proof.path.extend(path)
            assert not is_valid(forged_content, forged)
            assert not is_valid(forged_content, forged, context=b"")
    assert not is_valid(tree.root, Block(key_id=SIGNER.key_id, signature=signature))


def test_a_batch_costs_one_check_wherever_its_messages_go() -> None:
    engine = CountingEngine()
    verifier = BlockVerifier(engine)
    blocks = batch_blocks()
    for content, block in zip(CONTENTS, blocks, strict=True):
        assert verifier.verify(MESSAGE_CONTEXT, content, block, SIGNER.public_key)
    assert verifier.verify_batch(
        SignedContent(context=MESSAGE_CONTEXT, content=content, block=block, public_key=SIGNER.public_key)
        for content, block in zip(CONTENTS, blocks, strict=True)
    ) == [True] * len(CONTENTS)
    assert engine.checks.total() == 1


def test_a_remembered_root_helps_neither_another_key_nor_another_signature() -> None:
    engine = CountingEngine()
    verifier = BlockVerifier(engine)
    first, second = batch_blocks()[:2]
    assert verifier.verify(MESSAGE_CONTEXT, CONTENTS[0], first, SIGNER.public_key)
    assert not verifier.verify(MESSAGE_CONTEXT, CONTENTS[1], second, OTHER_SIGNER.public_key)
    forged = Block.FromString(second.SerializeToString())
    forged.signature = bytes(63) + b"\x01"
    assert not verifier.verify(MESSAGE_CONTEXT, CONTENTS[1], forged, SIGNER.public_key)
    assert engine.checks.total() == 3


def test_a_content_signed_alone_is_checked_each_time() -> None:
    engine = CountingEngine()
    verifier = BlockVerifier(engine)
    block = Block.FromString(sign_one(SIGNER, MESSAGE_CONTEXT, b"header"))
    assert verifier.verify(MESSAGE_CONTEXT, b"header", block, SIGNER.public_key)
    assert verifier.verify(MESSAGE_CONTEXT, b"header", block, SIGNER.public_key)
    assert engine.checks.total() == 2


def test_many_are_checked_at_once_with_each_its_own_result() -> None:
    batch, other = batch_blocks(), batch_blocks(CONTENTS[:2])
    alone = Block.FromString(sign_one(SIGNER, MESSAGE_CONTEXT, b"alone"))
    wrong_path = Block.FromString(batch[4].SerializeToString())
    wrong_path.batch_proof.path[-1] = bytes(32)
    cases = [
        (CONTENTS[5], batch[5], True),
        (CONTENTS[0], other[0], True),
        (CONTENTS[4], wrong_path, False),
        (CONTENTS[4], batch[4], True),
        (CONTENTS[4], wrong_path, False),
        (b"alone", alone, True),
        (CONTENTS[3], batch[2], False),
        (b"Alone", alone, False),
        (CONTENTS[1], other[1], True),
        (CONTENTS[3], batch[3], True),
        (b"no signature", Block(), False),
    ]
    items = [
        SignedContent(context=MESSAGE_CONTEXT, content=content, block=block, public_key=SIGNER.public_key)
        for content, block, _ in cases
    ]
    engine = CountingEngine()
    assert BlockVerifier(engine).verify_batch(items) == [expected for _, _, expected in cases]
    assert engine.checks[signed_root(7, BatchTree(list(map(leaf_digests(MESSAGE_CONTEXT), CONTENTS))).root)] == 1


def test_messages_of_one_batch_that_arrive_together_wait_for_one_check() -> None:
    arrived = threading.Barrier(4)
    go_on = threading.Event()
    engine = CountingEngine(before_check=lambda: go_on.wait(20))
    verifier = BlockVerifier(engine)
    blocks = batch_blocks()

    def verify(place: int) -> bool:
        arrived.wait()
        return verifier.verify(MESSAGE_CONTEXT, CONTENTS[place], blocks[place], SIGNER.public_key)

    with ThreadPoolExecutor(3) as threads:
        results = [threads.submit(verify, place) for place in range(3)]
        arrived.wait()
        go_on.set()
        assert [result.result(20) for result in results] == [True] * 3
    assert engine.checks.total() == 1


def test_many_threads_share_a_verifier_that_remembers_little() -> None:
    verifier = BlockVerifier(ENGINE, remembered_roots_max=2)
    batches = []
    for number in range(5):
        contents = [f"{number}-{place}".encode() for place in range(4)]
        batches.append(list(zip(contents, batch_blocks(contents), strict=True)))

    def work(seed: int) -> bool:
        return all(
            verifier.verify(MESSAGE_CONTEXT, content, block, SIGNER.public_key)
            and not verifier.verify(MESSAGE_CONTEXT, content + b"!", block, SIGNER.public_key)
            for turn in range(10)
            for content, block in batches[(seed + turn) % 5]
        )

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [True] * 4


def test_a_signer_shows_no_private_key_and_cannot_be_pickled() -> None:
    private_key = ENGINE.generate_private_key()
    signer = EngineSigner(ENGINE, "cn-44-2026-1", private_key)
    assert private_key.hex() not in f"{signer!r} {signer!s}"
    assert repr(private_key) not in repr(signer)
    with pytest.raises(TypeError, match="private key"):
        signer.__reduce__()
