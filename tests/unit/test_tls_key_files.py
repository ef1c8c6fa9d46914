"""The private keys of TLS are read as the signing keys are: not from a file that others may read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.sdk.opening import connection_of
from onecard_adapters.settings import AdapterSettings, HubConnection, HubKey, SigningKey, StoreFiles, TlsFiles
from onecard_broker.gateway.server import server_credentials
from onecard_broker.settings import TlsSettings
from onecard_protocol.errors import OneCardError
from onecard_stubs.dev import certificates as dev_certificates
from tests.support.certificates import Authority, CertificateFiles

Opener = Callable[[CertificateFiles], object]


def of_a_gateway(files: CertificateFiles) -> object:
    return server_credentials(
        TlsSettings(
            certificate_file=files.certificate_file,
            private_key_file=files.private_key_file,
            client_authority_file=files.authority_file,
        )
    )


def of_an_adapter(files: CertificateFiles) -> object:
    tls = TlsFiles(
        certificate_file=files.certificate_file,
        private_key_file=files.private_key_file,
        authority_file=files.authority_file,
    )
    hub = HubConnection(gateways=("127.0.0.1:1",), keys=(HubKey(key_id="hub-1", public_key="04" + "ab" * 64),), tls=tls)
    nowhere = Path("nowhere")
    return connection_of(
        AdapterSettings(
            participant="cn-44",
            network="test-tls",
            hub=hub,
            signing_key=SigningKey(file=nowhere),
            store=StoreFiles(file=nowhere, key_file=nowhere),
        )
    ).credentials


SIDES = pytest.mark.parametrize("credentials_of", [of_a_gateway, of_an_adapter])


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return Authority(tmp_path).issue("one.onecard.test")


@SIDES
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_key_of_its_owner_alone_is_taken(files: CertificateFiles, credentials_of: Opener, mode: int) -> None:
    files.private_key_file.chmod(mode)

    assert credentials_of(files) is not None


@SIDES
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused_with_the_command_that_mends_it(
    files: CertificateFiles, credentials_of: Opener, mode: int
) -> None:
    files.private_key_file.chmod(mode)

    with pytest.raises(OneCardError) as refused:
        credentials_of(files)

    assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
    assert f"the TLS private key {files.private_key_file} may be read by others" in refused.value.detail
    assert f"chmod 600 {files.private_key_file}" in refused.value.detail


@SIDES
def test_certificates_are_public_and_a_missing_file_is_named(files: CertificateFiles, credentials_of: Opener) -> None:
    files.certificate_file.chmod(0o644)
    assert credentials_of(files) is not None
    for file in (files.certificate_file, files.private_key_file):
        file.unlink()
        with pytest.raises(OneCardError, match=f"{file.name} cannot be read"):
            credentials_of(files)


@SIDES
def test_files_that_do_not_go_together_are_named(
    files: CertificateFiles, credentials_of: Opener, tmp_path: Path
) -> None:
    another = Authority(tmp_path / "another").issue("one.onecard.test")
    nothing = tmp_path / "empty.pem"
    nothing.touch(mode=0o600)
    for name, wrong, told in (
        ("private_key_file", another.private_key_file, "are no certificate and its private key"),
        ("private_key_file", nothing, "are no certificate and its private key"),
        ("certificate_file", nothing, "are no certificate and its private key"),
        ("authority_file", nothing, "holds no certificate"),
        ("authority_file", files.private_key_file, "holds no certificate"),
        ("authority_file", tmp_path, "cannot be read"),
    ):
        with pytest.raises(OneCardError, match=told) as refused:
            credentials_of(dataclasses.replace(files, **{name: wrong}))
        assert refused.value.reason == errors_pb2.ERROR_REASON_CONFIGURATION_INVALID
        assert str(wrong) in refused.value.detail


def test_a_country_on_one_machine_writes_its_keys_for_their_owner_alone(tmp_path: Path) -> None:
    issued = dev_certificates.Authority(tmp_path).issue("gateway-1", "gateway.onecard.test")

    assert issued.private_key.stat().st_mode & 0o777 == 0o600
