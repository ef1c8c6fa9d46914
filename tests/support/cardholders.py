"""Cardholders of synthetic persons, and rows of them that count how often they are read."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import psycopg

from onecard.card.v1 import replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_broker.domain.card_state import Card, Cardholder, LocalStatus, Machine, Replacement, Step
from onecard_broker.domain.replacement_states import ReplacementPhase, StepPhase
from tests.support.card_reports import recognition_code


def a_card(
    serial: int = 991,
    *,
    state: values_pb2.SocialState = values_pb2.SOCIAL_STATE_ACTIVE,
    sequence: int = 1,
    version: int = 3,
    expiry_day: int = 0,
    changed_ms: int = 1_780_000_000_000,
) -> Card:
    """A card of Beijing with an account at 工商."""
    return Card(
        issuer="cn-11",
        number=f"A{serial:08d}",
        sequence=sequence,
        social=Machine(
            state=state,
            version=version,
            changed_ms=changed_ms,
            local=LocalStatus(system="cn-11.AAZ502", version="1", code="1"),
        ),
        financial=Machine(state=values_pb2.FINANCIAL_STATE_ACTIVE, version=2, changed_ms=changed_ms - 1),
        recognition_code=recognition_code(serial),
        electronic_card_id=f"E{serial:010d}",
        bank="bank-102",
        generation=3,
        expiry_day=expiry_day,
    )


def replacing_holder(subject: str, replacement_id: bytes, *, number: str = "") -> Cardholder:
    """A person whose card was replaced; the old card's issuer did not end it yet."""
    old, new = a_card(1, state=values_pb2.SOCIAL_STATE_SUPERSEDED), a_card(2)
    steps = (
        Step(step=replacement_pb2.REPLACEMENT_STEP_NEW_ENABLED, phase=StepPhase.DONE, recipient="cn-11"),
        Step(
            step=replacement_pb2.REPLACEMENT_STEP_OLD_SUPERSEDED,
            phase=StepPhase.RETRYING,
            recipient="cn-11",
            attempt=2,
            reason=errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN,
            changed_ms=1_790_000_001_000,
        ),
    )
    replacement = Replacement(
        id=replacement_id,
        phase=ReplacementPhase.RUNNING,
        old=old.key,
        new=new.key,
        steps=steps,
        began_ms=1_790_000_000_000,
    )
    return Cardholder(
        subject=subject, kind="01", number=number, name="测试人", cards=(old, new), replacements=(replacement,)
    )


class FakeCardholders:
    """A registry that can be slow, or away."""

    def __init__(self) -> None:
        self.holders: dict[str, Cardholder | None] = {}
        self.statements: list[list[str]] = []
        self.is_away = False
        self.is_open = asyncio.Event()
        """Cleared, a reading that has its rows waits before it gives them."""
        self.is_open.set()

    def put(self, holder: Cardholder) -> None:
        """Commit a holder."""
        self.holders[holder.subject] = holder

    def hold(self, subject: str) -> None:
        """Let a report of the person wait undecided."""
        self.holders[subject] = None

    async def load(self, wanted: Collection[tuple[int, str]]) -> Mapping[str, Cardholder | None]:
        """See `CardholderReader`."""
        if self.is_away:
            raise psycopg.OperationalError("away")
        subjects = [subject for _, subject in wanted]
        self.statements.append(subjects)
        rows = {subject: self.holders[subject] for subject in subjects if subject in self.holders}
        await self.is_open.wait()
        return rows
