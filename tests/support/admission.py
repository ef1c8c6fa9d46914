"""Admission at one fixed time, in a country of two provinces: what is admitted and what is refused, without a hub."""

from __future__ import annotations

import dataclasses

import pytest

from onecard.exchange.v1 import message_pb2
from onecard_broker.admission.rules import Admission, Circumstances, admit
from onecard_protocol.errors import OneCardError
from onecard_protocol.methods import MethodRegistry
from onecard_protocol.signatures.blocks import BlockVerifier, SignedContent
from onecard_protocol.signatures.engine import native_engine
from onecard_protocol.signatures.signer import Signer
from tests.support.bad_messages import RefusalSigners, changed_request, refusal_records
from tests.support.directories import NETWORK, certificate_name, directory_of, new_signer, put_key, put_participant

NOW_MS = 1_780_000_000_000
EPOCH = "epoch-1"
CARE, INSURED = new_signer("cn-44-1"), new_signer("cn-51-1")
SIGNERS = RefusalSigners(CARE, INSURED)
VERIFIER = BlockVerifier(native_engine())
METHODS = MethodRegistry.load()

DIRECTORY = directory_of(
    *(put_participant(name) for name in ("cn-44", "cn-51")),
    put_participant("cn-00", ()),
    put_key("cn-44", CARE),
    put_key("cn-51", INSURED),
    *refusal_records(SIGNERS, NOW_MS),
)
CIRCUMSTANCES = Circumstances(
    directory=DIRECTORY,
    methods=METHODS,
    network=NETWORK,
    log_epoch=EPOCH,
    partition_count=8,
    now_ms=NOW_MS,
    is_reading=lambda participant: participant != "cn-65",
    certificate_names=frozenset({certificate_name("cn-44")}),
)
AT_INSURED = dataclasses.replace(CIRCUMSTANCES, certificate_names=frozenset({certificate_name("cn-51")}))

Signed = message_pb2.SignedMessage


def verify(content: SignedContent) -> bool:
    return VERIFIER.verify_batch([content])[0]


def admitted(signed: Signed, circumstances: Circumstances = CIRCUMSTANCES) -> Admission:
    return admit(signed.header, signed.payload, signed.signature, circumstances, verify)


def refused(signed: Signed, circumstances: Circumstances = CIRCUMSTANCES) -> OneCardError:
    with pytest.raises(OneCardError) as raised:
        admitted(signed, circumstances)
    return raised.value


def request(signer: Signer = CARE, **changes: object) -> Signed:
    """A good request with some of its header's fields changed before it is signed."""
    return changed_request(signer, NOW_MS, **changes)
