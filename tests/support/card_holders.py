"""Cardholders as hypothesis makes them: every field of the registry with every value that it may have."""

from __future__ import annotations

import dataclasses

from hypothesis import strategies as st

from onecard.card.v1 import values_pb2
from onecard_broker.domain.card_state import Card, Cardholder, CardKey, LocalStatus, Machine, Replacement, Step
from onecard_protocol.identifiers import BANKS, PROVINCES

INT4 = st.integers(0, 2**31 - 1)
INT8 = st.integers(0, 2**63 - 1)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
HEX = st.one_of(
    st.binary(max_size=16).map(bytes.hex),
    st.binary(max_size=16).map(lambda raw: raw.hex().upper()),
    TEXT,
)
SUBJECT = st.binary(min_size=32, max_size=32).map(bytes.hex)
PROVINCE = st.sampled_from(sorted(PROVINCES))
BANK = st.just("") | st.sampled_from(sorted(BANKS))
NUMBER = st.from_regex(r"[A-Z][0-9]{8}", fullmatch=True)
CARD_KEY: st.SearchStrategy[CardKey] = st.tuples(PROVINCE, NUMBER, st.integers(1, 99))

local_statuses = st.builds(LocalStatus, system=TEXT, version=TEXT, code=TEXT)


@st.composite
def machines(draw: st.DrawFn, states: int) -> Machine:
    """One of a card's machines."""
    return Machine(
        state=draw(st.integers(0, states)),
        version=draw(INT8),
        digest=draw(st.binary(max_size=16)),
        changed_ms=draw(INT8),
        local=draw(local_statuses),
        missing=tuple(draw(st.lists(st.tuples(INT8, INT8), max_size=3))),
        late_count=draw(INT4),
    )


@st.composite
def cards(draw: st.DrawFn, key: CardKey) -> Card:
    """A card of this key, not ACTIVE."""
    social = draw(machines(7))
    if social.state == values_pb2.SOCIAL_STATE_ACTIVE:
        social = dataclasses.replace(social, state=values_pb2.SOCIAL_STATE_PRODUCED)
    issuer, number, sequence = key
    return Card(
        issuer=issuer,
        number=number,
        sequence=sequence,
        social=social,
        financial=draw(machines(5)),
        recognition_code=draw(HEX),
        electronic_card_id=draw(TEXT),
        bank=draw(BANK),
        bank_card_number=draw(TEXT),
        generation=draw(st.integers(0, 3)),
        specification_version=draw(TEXT),
        card_class=draw(TEXT),
        institution_code=draw(HEX),
        issue_day=draw(st.just(0) | st.integers(19990101, 20991231)),
        expiry_day=draw(st.just(0) | st.integers(19990101, 20991231)),
        is_contactless=draw(st.booleans()),
        has_transit_mark=draw(st.booleans()),
        certificate_serial=draw(HEX),
        production_kind=draw(TEXT),
        production_way=draw(TEXT),
        residence_area=draw(TEXT),
        photo_digest=draw(st.binary(max_size=32)),
        replaces=draw(st.none() | CARD_KEY),
    )


steps = st.builds(
    Step,
    step=st.integers(1, 6),
    phase=TEXT,
    recipient=PROVINCE | BANK,
    attempt=INT4,
    asked_ids=st.lists(st.binary(min_size=16, max_size=16), max_size=3).map(tuple),
    reason=INT4,
    changed_ms=INT8,
    local_id=TEXT,
)

replacements = st.builds(
    Replacement,
    id=st.binary(min_size=16, max_size=16),
    phase=TEXT,
    old=CARD_KEY,
    new=CARD_KEY,
    steps=st.lists(steps, max_size=4, unique_by=lambda step: step.step).map(
        lambda some: tuple(sorted(some, key=lambda step: step.step))
    ),
    began_ms=INT8,
    ended_ms=INT8,
    benefit_due_ms=INT8,
    is_alarmed=st.booleans(),
)


@st.composite
def cardholders(draw: st.DrawFn, subject: str | None = None) -> Cardholder:
    """A cardholder as the registry gives one back: in order, with at most one ACTIVE card."""
    held = [draw(cards(key)) for key in sorted(draw(st.sets(CARD_KEY, max_size=3)))]
    active = draw(st.none() | st.integers(0, len(held) - 1)) if held else None
    if active is not None:
        social = dataclasses.replace(held[active].social, state=values_pb2.SOCIAL_STATE_ACTIVE)
        held[active] = dataclasses.replace(held[active], social=social)
    return Cardholder(
        subject=draw(SUBJECT) if subject is None else subject,
        kind=draw(TEXT),
        number=draw(TEXT),
        name=draw(TEXT),
        linked_to=draw(st.just("") | SUBJECT),
        linked_from=tuple(draw(st.lists(SUBJECT, max_size=2))),
        cards=tuple(held),
        followers=frozenset(draw(st.sets(PROVINCE | st.sampled_from(sorted(BANKS)), max_size=4))),
        replacements=tuple(
            sorted(
                draw(st.lists(replacements, max_size=2, unique_by=lambda one: one.id)),
                key=lambda one: (one.began_ms, one.id),
            )
        ),
    )
