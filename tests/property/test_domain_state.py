"""The business state survives its bytes, whatever is in it; equal states give equal bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard_broker.domain.medical_state import (
    Asking,
    Encounter,
    Reversal,
    Transaction,
    decode_encounter,
    encode_encounter,
)
from onecard_broker.domain.settlement_states import Kind, Phase
from onecard_protocol.identifiers import PROVINCES, message_id_from
from tests.support.domain import START_MS

participants = st.sampled_from(sorted(PROVINCES))
ids = st.binary(min_size=10, max_size=10).map(lambda random: bytes(message_id_from(START_MS, random)))
keys = st.tuples(participants, ids)
texts = st.text(max_size=40)
fen = st.integers(min_value=-(10**12), max_value=10**12)
days = st.dates().map(lambda day: day.isoformat())

transactions = st.builds(
    Transaction,
    id=ids,
    kind=st.sampled_from(Kind),
    phase=st.sampled_from(Phase),
    question=st.binary(max_size=300),
    digest=st.sampled_from([b"", b"d" * 32]),
    before=st.none() | st.sampled_from(Phase),
    answer=st.none() | keys,
    period=st.none() | st.tuples(days, days),
    cancels=st.just(b"") | ids,
    fees_total_fen=st.none() | fen,
    settlement_id=texts,
    amounts=st.dictionaries(st.sampled_from(["total_fen", "cash_fen"]), fen),
    undone_ms=st.integers(min_value=0, max_value=2**42),
    reversals=st.lists(st.builds(Reversal, key=keys, digest=st.binary(max_size=32), is_doubted=st.booleans())).map(
        tuple
    ),
    queries=st.lists(keys).map(tuple),
    asking=st.none() | st.builds(Asking, cause=keys, first=st.integers(min_value=0, max_value=100)),
    asked_count=st.integers(min_value=0, max_value=100),
    evidence=st.lists(keys).map(tuple),
)
encounters = st.builds(
    Encounter,
    id=ids,
    subject=texts,
    care=participants,
    insured=participants,
    institution_code=texts,
    visit_id=texts,
    is_failed=st.booleans(),
    transactions=st.lists(transactions, max_size=3, unique_by=lambda transaction: transaction.id).map(tuple),
)


@given(encounters)
def test_an_encounter_survives_its_bytes(encounter: Encounter) -> None:
    data = encode_encounter(encounter)
    assert decode_encounter(data) == encounter
    assert encode_encounter(decode_encounter(data)) == data


@given(encounters, transactions)
def test_a_transaction_that_is_put_in_is_found_and_nothing_else_changes(
    encounter: Encounter, transaction: Transaction
) -> None:
    changed = encounter.with_transaction(transaction)
    assert changed.find(transaction.id) == transaction
    assert changed.without(transaction.id) == encounter.without(transaction.id)


@given(encounters)
def test_a_version_that_is_not_known_is_an_error_and_never_guessed(encounter: Encounter) -> None:
    data = encode_encounter(encounter).replace(b'"version":1', b'"version":2', 1)
    with pytest.raises(ValueError, match="version 2"):
        decode_encounter(data)
