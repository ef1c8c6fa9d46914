"""Private keys at rest: one JSON file for each key, readable by its owner only, the key encrypted in it.

The key is sealed with SM4-GCM (RFC 8998) under a key that scrypt (RFC 7914) makes of a passphrase; participant, key id
and public key stand beside it in the clear and are authenticated with it, so that no file can be relabelled. Neither
key nor passphrase appears in an error, a log or a text form. The signatures' one module that touches files, apart from
`export`.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn, Self

import pydantic
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from onecard.exchange.v1 import errors_pb2
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError, Violation
from onecard_protocol.identifiers import is_participant
from onecard_protocol.settings_file import violations_of
from onecard_protocol.signatures.curve import PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, check_public_key
from onecard_protocol.signatures.encodings import public_key_pem
from onecard_protocol.signatures.engine import Engine
from onecard_protocol.signatures.signer import EngineSigner
from onecard_protocol.signatures.sm3 import sm3

PASSPHRASE_VARIABLE: Final = "ONECARD_KEY_PASSPHRASE"
PASSPHRASE_CHARACTERS_MIN: Final = 12

_FILE_BYTES_MAX: Final = 16_384
_KEY_BYTES: Final = 16
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
# 32 MB of memory for each try at the passphrase; more would show in the hub's memory at every start.
_SCRYPT_N: Final = 2**15
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 1


def _hex_of(length: int) -> pydantic.StringConstraints:
    return pydantic.StringConstraints(pattern=rf"^[0-9a-f]{{{length * 2}}}$")


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SealedPrivateKey(_Model):
    """The private key, encrypted, with what scrypt and SM4-GCM need beside the passphrase."""

    derivation: Literal["scrypt"] = "scrypt"
    scrypt_n: Literal[32768] = _SCRYPT_N
    scrypt_r: Literal[8] = _SCRYPT_R
    scrypt_p: Literal[1] = _SCRYPT_P
    salt: Annotated[str, _hex_of(_SALT_BYTES)]
    cipher: Literal["sm4-gcm"] = "sm4-gcm"
    nonce: Annotated[str, _hex_of(_NONCE_BYTES)]
    sealed: Annotated[str, _hex_of(PRIVATE_KEY_BYTES + _TAG_BYTES)]
    """Ciphertext and tag."""


class KeyFile(_Model):
    """A key file: whose key it is, its public half in the clear, its private half sealed."""

    format: Literal["onecard-key-1"] = "onecard-key-1"
    participant: str
    key_id: Annotated[
        str,
        pydantic.StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=limits.KEY_ID_CHARACTERS_MAX),
    ]
    public_key: Annotated[str, _hex_of(PUBLIC_KEY_BYTES)]
    """04‖x‖y in hex, 130 digits."""
    private_key: SealedPrivateKey

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        if not is_participant(self.participant):
            raise ValueError(
                "the participant is none: cn-11 to cn-66, bank-102 and the like, or cn-00 for the hub"
                " / 参与方应为 cn-11 至 cn-66 或银行（如 bank-102），枢纽为 cn-00"
            )
        check_public_key(bytes.fromhex(self.public_key))
        return self

    @property
    def public_key_bytes(self) -> bytes:
        """The public key 04‖x‖y, 65 bytes."""
        return bytes.fromhex(self.public_key)

    @property
    def fingerprint(self) -> str:
        """SM3 of the public key's 65 bytes, 64 hex digits: what two people read to each other."""
        return sm3(self.public_key_bytes).hex()

    @property
    def public_key_pem(self) -> str:
        """The public key as PEM SubjectPublicKeyInfo."""
        return public_key_pem(self.public_key_bytes)


def create_key_file(path: Path, *, participant: str, key_id: str, passphrase: str, engine: Engine) -> KeyFile:
    """Make a new key and write it to a new file of mode 0600, durably.

    Raises:
        OneCardError: CONFIGURATION_INVALID; the file exists, its folder is missing, the passphrase is shorter than
            `PASSPHRASE_CHARACTERS_MIN`, or participant or key id have no valid form.
    """
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
        _refuse(
            f"the passphrase is shorter than {PASSPHRASE_CHARACTERS_MIN} characters; take a longer one"
            f" / 口令不足 {PASSPHRASE_CHARACTERS_MIN} 个字符，请加长"
        )
    private_key = engine.generate_private_key()
    public_key = engine.public_key(private_key).hex()
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    encryptor = Cipher(algorithms.SM4(_sealing_key(passphrase, salt)), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(_labels(participant, key_id, public_key))
    sealed = encryptor.update(private_key) + encryptor.finalize() + encryptor.tag
    try:
        key_file = KeyFile(
            participant=participant,
            key_id=key_id,
            public_key=public_key,
            private_key=SealedPrivateKey(salt=salt.hex(), nonce=nonce.hex(), sealed=sealed.hex()),
        )
    except pydantic.ValidationError as error:
        _refuse("no key can be made / 无法生成密钥", violations_of(KeyFile, error))
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        _refuse(
            f"{path} exists already; a key file is never overwritten, choose another name"
            " / 文件已存在，密钥文件不会被覆盖，请换一个文件名"
        )
    except OSError as error:
        _refuse(f"{path} cannot be written: {error.strerror} / 无法写入")
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(key_file.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return key_file


def read_key_file(path: Path) -> KeyFile:
    """Read a key file and check its mode and form; the private key stays sealed.

    Raises:
        OneCardError: CONFIGURATION_INVALID; it cannot be read, others than its owner may read it, or it is no key file.
    """
    try:
        return KeyFile.model_validate_json(read_private_file(path, "the key file"))
    except pydantic.ValidationError as error:
        _refuse(
            f"{path} is not a key file of `onecard keys new` / 不是 `onecard keys new` 生成的密钥文件",
            violations_of(KeyFile, error),
        )


def load_signer(path: Path, passphrase: str, engine: Engine) -> EngineSigner:
    """Read a key file, open its private key and give the signer that holds it.

    Raises:
        OneCardError: CONFIGURATION_INVALID; as `read_key_file`, or the passphrase is wrong or the file was changed.
    """
    key_file = read_key_file(path)
    box = key_file.private_key
    sealed = bytes.fromhex(box.sealed)
    decryptor = Cipher(
        algorithms.SM4(_sealing_key(passphrase, bytes.fromhex(box.salt))),
        modes.GCM(bytes.fromhex(box.nonce), sealed[-_TAG_BYTES:]),
    ).decryptor()
    decryptor.authenticate_additional_data(_labels(key_file.participant, key_file.key_id, key_file.public_key))
    try:
        private_key = decryptor.update(sealed[:-_TAG_BYTES]) + decryptor.finalize()
    except InvalidTag:
        _refuse(
            f"{path} does not open: the passphrase is wrong or the file was changed / 无法打开：口令错误或文件被改动"
        )
    try:
        signer = EngineSigner(engine, key_file.key_id, private_key)
    except ValueError:
        _refuse(
            f"{path} holds no private key of sm2p256v1; make a new one with `onecard keys new`"
            " / 文件中没有 SM2 私钥，请用 `onecard keys new` 重新生成"
        )
    if signer.public_key != key_file.public_key_bytes:
        _refuse(
            f"{path} holds a private key that does not belong to its public key; make a new one"
            " / 私钥与公钥不匹配，请重新生成"
        )
    return signer


def find_passphrase(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The passphrase from the file, if one is given, else from `PASSPHRASE_VARIABLE`; None if neither has it.

    Raises:
        OneCardError: CONFIGURATION_INVALID; the file cannot be read, others may read it, or it is empty or no UTF-8.
    """
    if file is None:
        return environment.get(PASSPHRASE_VARIABLE) or None
    try:
        passphrase = read_private_file(file, "the passphrase file").decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        passphrase = ""
    if not passphrase:
        _refuse(f"{file} holds no passphrase: one line of UTF-8 text is expected / 文件中没有口令：应为一行 UTF-8 文本")
    return passphrase


def read_private_file(path: Path, name: str) -> bytes:
    """The content of a small file that only its owner may read; `name` says in errors what it is.

    Raises:
        OneCardError: CONFIGURATION_INVALID; it cannot be read, others than its owner may read it, or it is too large.
    """
    try:
        with path.open("rb") as file:
            # The mode of what was opened, not of what lies at the path a moment later.
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                _refuse(f"{path} is not a file / 不是文件")
            if status.st_mode & 0o077:
                _refuse(
                    f"{name} {path} may be read by others than its owner (mode {stat.S_IMODE(status.st_mode):04o}); "
                    f"run: chmod 600 {path}"
                    " / 该文件可被他人读取，请执行 chmod 600"
                )
            content = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        _refuse(f"{name} {path} cannot be read: {error.strerror} / 无法读取")
    if len(content) > _FILE_BYTES_MAX:
        _refuse(f"{name} {path} is larger than {_FILE_BYTES_MAX} bytes / 文件超过 {_FILE_BYTES_MAX} 字节")
    return content


def _sealing_key(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=_KEY_BYTES, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P).derive(passphrase.encode())


def _labels(participant: str, key_id: str, public_key: str) -> bytes:
    return "\n".join(("onecard-key-1", participant, key_id, public_key)).encode()


def _refuse(detail: str, violations: Sequence[Violation] = ()) -> NoReturn:
    # Without the cause: what a library says of a file or a key could show a part of it.
    raise OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, detail, violations=violations) from None
