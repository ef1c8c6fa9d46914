"""Signature blocks: what exactly is signed, alone or by the batch, and how a block is checked.

Alone:     u32be(len(context)) ‖ context ‖ content
Leaf:      SM3(0x00 ‖ u32be(len(context)) ‖ context ‖ content)
By batch:  u32be(len("onecard.v1.batch")) ‖ "onecard.v1.batch" ‖ u32be(leaf count) ‖ root

The context names the purpose, so that a signature made for one never passes for another. The count is signed with the
root, because the root alone does not fix it, and the same proof would pass with more than one count. A batch of one is
signed alone, without proof: each message has one valid form of block for a given key and way of signing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from onecard.exchange.v1 import message_pb2
from onecard_protocol import limits
from onecard_protocol.signatures.curve import SIGNATURE_BYTES
from onecard_protocol.signatures.engine import Engine
from onecard_protocol.signatures.proved import ProvedTree
from onecard_protocol.signatures.remembered import RememberedChecks
from onecard_protocol.signatures.signer import Signer
from onecard_protocol.signatures.sm3 import sm3, sm3_after
from onecard_protocol.signatures.tree import LEAF_PREFIX, BatchTree, root_of_proof

BATCH_CONTEXT: Final = b"onecard.v1.batch"


def framed(context: bytes, content: bytes) -> bytes:
    """The bytes that are signed alone: u32be(len(context)) ‖ context ‖ content."""
    return len(context).to_bytes(4, "big") + context + content


def signed_root(count: int, root: bytes) -> bytes:
    """The bytes that are signed for a batch of `count` leaves with this root."""
    return framed(BATCH_CONTEXT, count.to_bytes(4, "big") + root)


def leaf_digests(context: bytes) -> Callable[[bytes], bytes]:
    """A function that gives the leaf of a content in this context, 32 bytes."""
    return sm3_after(LEAF_PREFIX + framed(context, b""))


def sign_one(signer: Signer, context: bytes, content: bytes) -> bytes:
    """The serialised SignatureBlock of a content signed alone."""
    return message_pb2.SignatureBlock(
        key_id=signer.key_id, signature=signer.sign(framed(context, content))
    ).SerializeToString()


def sign_batch(signer: Signer, context: bytes, contents: Sequence[bytes]) -> list[bytes]:
    """The serialised SignatureBlocks of contents signed together, in their order; one content is signed alone.

    Raises:
        ValueError: more contents than a batch may have (`limits.BATCH_LEAF_COUNT_MAX`).
    """
    count = len(contents)
    if count > limits.BATCH_LEAF_COUNT_MAX:
        raise ValueError(f"a batch has at most {limits.BATCH_LEAF_COUNT_MAX} messages, not {count}")
    if count <= 1:
        return [sign_one(signer, context, content) for content in contents]
    tree = BatchTree(list(map(leaf_digests(context), contents)))
    # Serialised messages put one after the other merge, so what all blocks share is serialised once.
    shared = message_pb2.SignatureBlock(
        key_id=signer.key_id, signature=signer.sign(signed_root(count, tree.root))
    ).SerializeToString()
    return [shared + _serialised_proof(index, count, tree.proof(index)) for index in range(count)]


class SignedContent(NamedTuple):
    """A content with its block and the public key that the directory gives for the block's key id."""

    context: bytes
    content: bytes
    block: message_pb2.SignatureBlock
    public_key: bytes


class BlockVerifier:
    """Checks blocks and remembers checked batch signatures, so that a batch costs one SM2 check wherever it goes.

    Remembered is exactly what was checked: this public key made this signature over this count and root. Another
    signature beside a known root is checked again, so whatever passes here can be proved alone later. Whether the key
    was valid is not looked at and not remembered. Safe to use from threads at once; the SM2 check runs in the
    caller's thread.
    """

    __slots__ = ("_checks", "_engine")

    def __init__(self, engine: Engine, remembered_roots_max: int = limits.REMEMBERED_ROOT_COUNT_MAX) -> None:
        self._engine = engine
        self._checks = RememberedChecks(remembered_roots_max)

    def verify(self, context: bytes, content: bytes, block: message_pb2.SignatureBlock, public_key: bytes) -> bool:
        """Whether the block signs this content in this context by this key; False for anything malformed."""
        if not block.HasField("batch_proof"):
            return self._engine.verify(public_key, framed(context, content), block.signature)
        proof = block.batch_proof
        if not is_batch_form(block):
            return False
        try:
            leaf = sm3(LEAF_PREFIX + framed(context, content))
            root = root_of_proof(leaf, proof.leaf_index, proof.leaf_count, tuple(proof.path))
        except ValueError:
            return False
        return self._is_signed_root(public_key, block.signature, proof.leaf_count, root)

    def verify_batch(self, items: Iterable[SignedContent]) -> list[bool]:
        """Each item's result as `verify` gives it, in their order, at the cost of each tree's nodes once."""
        leaf_digest_by_context: dict[bytes, Callable[[bytes], bytes]] = {}
        trees: dict[tuple[bytes, bytes, int], ProvedTree] = {}
        results: list[bool] = []
        for item in items:
            block = item.block
            if not block.HasField("batch_proof") or not is_batch_form(block):
                results.append(self.verify(item.context, item.content, block, item.public_key))
                continue
            digest = leaf_digest_by_context.get(item.context)
            if digest is None:
                digest = leaf_digest_by_context[item.context] = leaf_digests(item.context)
            proof = block.batch_proof
            key = item.public_key, block.signature, proof.leaf_count
            tree = trees.get(key)
            if tree is None:
                tree = trees[key] = ProvedTree(proof.leaf_count)
            is_signed = functools.partial(self._is_signed_root, *key)
            results.append(tree.prove(digest(item.content), proof.leaf_index, tuple(proof.path), is_signed))
        return results

    def _is_signed_root(self, public_key: bytes, signature: bytes, count: int, root: bytes) -> bool:
        return self._checks.check(
            (public_key, signature, count, root),
            lambda: self._engine.verify(public_key, signed_root(count, root), signature),
        )


def is_batch_form(block: message_pb2.SignatureBlock) -> bool:
    """Whether the counts and lengths of a block with a proof are possible; the digests are not looked at."""
    proof = block.batch_proof
    return (
        2 <= proof.leaf_count <= limits.BATCH_LEAF_COUNT_MAX
        and proof.leaf_index < proof.leaf_count
        and len(block.signature) == SIGNATURE_BYTES
    )


def _serialised_proof(index: int, count: int, path: Sequence[bytes]) -> bytes:
    block = message_pb2.SignatureBlock()
    proof = block.batch_proof
    proof.leaf_index = index
    proof.leaf_count = count
    proof.path.extend(path)
    return block.SerializeToString()
