"""Writes a message as the files from which the OpenSSL command alone checks it (docs/verify-by-hand.md)."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import DecodeError

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.messages import MESSAGE_CONTEXT
from onecard_protocol.signatures.blocks import framed, signed_root
from onecard_protocol.signatures.encodings import public_key_pem, raw_to_der
from onecard_protocol.signatures.sm3 import sm3
from onecard_protocol.signatures.tree import LEAF_PREFIX, root_of_proof, sibling_sides


def write_verification_files(
    directory: Path, header: bytes, payload: bytes, signature_block: bytes, public_key: bytes
) -> list[Path]:
    """Write the message's bytes, its signature and the key into the directory, which is made if it is not there.

    Only their owner may read the files: the payload tells of a person.

    Always: header.bin, payload.bin, signature-block.bin (as they travelled), signed.bin (exactly the bytes that were
    signed), signature.bin (raw r‖s), signature.der, public.pem. Signed by the batch also leaf.bin (what the leaf is
    the digest of), leaf-count.bin (4 bytes), path.txt (a line `left FILE` or `right FILE` for each sibling from leaf
    to root) and the siblings sibling-00.bin … Nothing is verified here: a forged message is written out as it is, and
    the commands refuse it.

    Returns: the files, in the order above.

    Raises:
        OneCardError: CONFIGURATION_INVALID; something is in the directory, and might be taken for a part of this
            message. Nothing was written.
        ValueError: the block does not parse, its signature is not 64 bytes, its proof has an impossible form, or the
            key is no point of the curve.
        OSError: a file cannot be written.
    """
    try:
        block = message_pb2.SignatureBlock.FromString(signature_block)
    except DecodeError:
        raise ValueError("the bytes are no SignatureBlock") from None
    files = {"header.bin": header, "payload.bin": payload, "signature-block.bin": signature_block}
    if block.HasField("batch_proof"):
        files |= _batch_files(header, block.batch_proof)
    else:
        files["signed.bin"] = framed(MESSAGE_CONTEXT, header)
    files["signature.bin"] = block.signature
    files["signature.der"] = raw_to_der(block.signature)
    files["public.pem"] = public_key_pem(public_key).encode()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise OneCardError(
            errors_pb2.ERROR_REASON_CONFIGURATION_INVALID,
            f"{directory} is not empty; name a new or an empty directory / 目录非空，请指定新的或空的目录",
        )
    for name, content in files.items():
        file = directory / name
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(content)
    return [directory / name for name in files]


def _batch_files(header: bytes, proof: message_pb2.BatchProof) -> dict[str, bytes]:
    leaf = LEAF_PREFIX + framed(MESSAGE_CONTEXT, header)
    path = tuple(proof.path)
    root = root_of_proof(sm3(leaf), proof.leaf_index, proof.leaf_count, path)
    names = [f"sibling-{place:02}.bin" for place in range(len(path))]
    sides = ["left" if is_left else "right" for is_left in sibling_sides(proof.leaf_index, proof.leaf_count)]
    steps = [f"{side} {name}\n" for side, name in zip(sides, names, strict=True)]
    return {
        "leaf.bin": leaf,
        "leaf-count.bin": proof.leaf_count.to_bytes(4, "big"),
        "path.txt": "".join(steps).encode(),
        **dict(zip(names, path, strict=True)),
        "signed.bin": signed_root(proof.leaf_count, root),
    }
