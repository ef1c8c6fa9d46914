"""The commands of docs/verify-by-hand.md, run on exported messages: they accept the true ones and no forged one."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.messages import MESSAGE_CONTEXT, build_header
from onecard_protocol.signatures.blocks import sign_batch
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.export import write_verification_files
from onecard_protocol.signatures.signer import EngineSigner
from onecard_protocol.signatures.sm3 import sm3

DOCUMENT = Path(__file__).parents[3] / "docs" / "verify-by-hand.md"
ENGINE = native_engine()
SIGNER = EngineSigner(ENGINE, "cn-44-2026-1", ENGINE.generate_private_key())
PAYLOADS = [b"payload %d" % place for place in range(5)]

pytestmark = pytest.mark.needs("openssl")


def commands_by_step() -> dict[int, str]:
    """The shell blocks of each numbered section of the document."""
    sections = re.split(r"^## (\d+)\. ", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        int(number): "\n".join(re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
        for number, text in zip(sections[::2], sections[1::2], strict=True)
    }


STEPS = commands_by_step()


def header_of(payload: bytes) -> bytes:
    return build_header(
        network="test-by-hand",
        sender="cn-44",
        recipient="cn-51",
        method="/onecard.medical.v1.SettlementService/Settle",
        kind=message_pb2.MESSAGE_KIND_REQUEST,
        message_id=new_message_id(1_767_225_600_000),
        payload=payload,
    )


def export(directory: Path, *, count: int, place: int) -> list[Path]:
    """Write message `place` of a batch of `count`."""
    headers = [header_of(payload) for payload in PAYLOADS[:count]]
    block = sign_batch(SIGNER, MESSAGE_CONTEXT, headers)[place]
    return write_verification_files(directory, headers[place], PAYLOADS[place], block, SIGNER.public_key)


def run(step: int, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", STEPS[step]],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusing_steps(directory: Path, *, is_batch: bool) -> list[int]:
    steps = (1, 3 if is_batch else 2, 4, 5)
    return [step for step in steps if run(step, directory).returncode]


def test_the_document_has_commands_for_each_of_its_five_steps() -> None:
    assert sorted(STEPS) == [1, 2, 3, 4, 5]
    assert all(commands.strip() for commands in STEPS.values())


@pytest.mark.parametrize(("count", "place"), [(1, 0), (2, 1), (5, 0), (5, 2), (5, 4)])
def test_a_true_message_passes_every_step(tmp_path: Path, count: int, place: int) -> None:
    files = export(tmp_path, count=count, place=place)
    assert [path.name for path in files if not path.exists()] == []
    assert refusing_steps(tmp_path, is_batch=count > 1) == []
    assert run(2, tmp_path).returncode == (0 if count == 1 else 1)
    assert "Signature Verified Successfully" in run(4, tmp_path).stdout
    assert sm3(SIGNER.public_key).hex() in run(5, tmp_path).stdout


@pytest.mark.parametrize(
    ("name", "steps_alone", "steps_by_batch"),
    [
        ("payload.bin", [1], [1]),
        ("header.bin", [1, 2], [1, 3]),
        ("signed.bin", [2, 4], [3, 4]),
        ("signature.der", [4], [4]),
        ("signature.bin", [4], [4]),
        ("signature-block.bin", [4], None),
        ("leaf.bin", None, [3]),
        ("leaf-count.bin", None, [3]),
        ("sibling-01.bin", None, [3]),
    ],
)
def test_a_file_in_which_one_bit_was_turned_is_found(
    tmp_path: Path, name: str, steps_alone: list[int] | None, steps_by_batch: list[int] | None
) -> None:
    for is_batch, expected in ((False, steps_alone), (True, steps_by_batch)):
        if expected is None:
            continue
        directory = tmp_path / str(is_batch)
        export(directory, count=5 if is_batch else 1, place=2 if is_batch else 0)
        content = bytearray((directory / name).read_bytes())
        content[-1] ^= 1
        (directory / name).write_bytes(content)
        assert refusing_steps(directory, is_batch=is_batch) == expected


def test_the_key_of_another_participant_is_found(tmp_path: Path) -> None:
    header = header_of(PAYLOADS[0])
    [block] = sign_batch(SIGNER, MESSAGE_CONTEXT, [header])
    other_key = ENGINE.public_key(ENGINE.generate_private_key())
    write_verification_files(tmp_path, header, PAYLOADS[0], block, other_key)
    assert refusing_steps(tmp_path, is_batch=False) == [4]


def test_siblings_on_the_wrong_side_are_found(tmp_path: Path) -> None:
    export(tmp_path, count=5, place=2)
    path = (tmp_path / "path.txt").read_text()
    (tmp_path / "path.txt").write_text(path.replace("right", "left"))
    assert "right" in path
    assert refusing_steps(tmp_path, is_batch=True) == [3]


@pytest.mark.parametrize("first_byte", ["00", "0000", "00ff", "7f"])
def test_all_forms_of_a_signature_agree_when_a_number_is_short(tmp_path: Path, first_byte: str) -> None:
    header = header_of(PAYLOADS[0])
    r = bytes.fromhex(first_byte).ljust(32, b"\x11")
    block = message_pb2.SignatureBlock(key_id="k", signature=r + b"\x80" * 32).SerializeToString()
    write_verification_files(tmp_path, header, PAYLOADS[0], block, SIGNER.public_key)
    commands = STEPS[4][STEPS[4].index("numbers=") :]
    result = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=tmp_path, timeout=60, check=False)
    assert result.returncode == 0


@pytest.mark.parametrize(
    "block",
    [
        b"\xff",
        b"",
        message_pb2.SignatureBlock(signature=bytes(63)).SerializeToString(),
        message_pb2.SignatureBlock(
            signature=bytes(64), batch_proof=message_pb2.BatchProof(leaf_index=2, leaf_count=2)
        ).SerializeToString(),
    ],
    ids=["no block", "empty block", "short signature", "no such leaf"],
)
def test_a_block_out_of_form_is_not_written(tmp_path: Path, block: bytes) -> None:
    with pytest.raises(ValueError, match=r"SignatureBlock|64 bytes|no leaf"):
        write_verification_files(tmp_path / "out", b"header", b"payload", block, SIGNER.public_key)
    assert not (tmp_path / "out").exists()


def test_only_their_owner_may_read_the_files(tmp_path: Path) -> None:
    was_open = os.umask(0)
    try:
        files = export(tmp_path / "new", count=5, place=2)
    finally:
        os.umask(was_open)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in files} == {file.name: 0o600 for file in files}


def test_files_are_not_written_among_those_of_another_message(tmp_path: Path) -> None:
    before = export(tmp_path, count=5, place=2)
    with pytest.raises(OneCardError, match="is not empty") as refused:
        export(tmp_path, count=1, place=0)
    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert sorted(tmp_path.iterdir()) == sorted(before)
    assert refusing_steps(tmp_path, is_batch=True) == []
