"""A replacement through adapters that are killed at every piece of its work, before, in the midst of and behind it.

Through the real hub. `tests/integration/test_card_saga.py` does the same to the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from onecard.card.v1 import change_pb2, replacement_pb2, values_pb2
from onecard_adapters.runtime import outbox
from onecard_adapters.runtime.store_file import read_store
from onecard_broker.domain.card_state import Cardholder, Replacement
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.pool import connect
from onecard_protocol.clock import now_ms
from onecard_protocol.identifiers import HUB, id_text
from tests.support.card_reports import CARDS
from tests.support.directories import MEDICAL, NETWORK, certificate_name
from tests.support.dying_card_adapter import ACCOUNT_TOLD, NEW_ENABLED, DyingAdapter
from tests.support.eventually import eventually
from tests.support.exchange import assert_nothing_is_lost_or_doubled
from tests.support.gateway import Hub, eventually_async, running_hub
from tests.support.holders import BANK, BEIJING, GUANGXI, NEW, OLD, SICHUAN, SyntheticHolder
from tests.support.messages import make_signed

pytest_plugins = ("tests.support.engines",)

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

HOLDER: Final = SyntheticHolder()
WORK: Final = {
    BEIJING: ["OLD_SUPERSEDED"],
    GUANGXI: [NEW_ENABLED, "ELECTRONIC_CARD_REBOUND", "BENEFIT_ACCOUNT_CHANGED"],
    SICHUAN: ["CREDENTIAL_FOLLOWED", "MEDICAL_ACCOUNT_MOVED"],
    BANK: [ACCOUNT_TOLD],
}
UNDOING: Final = {
    BEIJING: [],
    GUANGXI: ["back BENEFIT_ACCOUNT_CHANGED", "back ELECTRONIC_CARD_REBOUND"],
    SICHUAN: ["back MEDICAL_ACCOUNT_MOVED", "back CREDENTIAL_FOLLOWED"],
    BANK: [],
}
POINTS: Final = {
    "before": "before the local call",
    "after": "after it, before its outcome is stored",
    "stored": "after that, before it is sent",
}


class Country:
    """The hub, and the adapters by participant."""

    def __init__(self, hub: Hub, directory: Path, point: str, work: dict[str, list[str]]) -> None:
        self.hub = hub
        self.work = work
        self.adapters = {
            participant: DyingAdapter(directory, self._configuration(participant, point)) for participant in work
        }

    def _configuration(self, participant: str, point: str) -> dict[str, object]:
        files = self.hub.authority.issue(certificate_name(participant))
        signer = self.hub.signers[HUB]
        return {
            "participant": participant,
            "network": NETWORK,
            "gateway": f"127.0.0.1:{self.hub.gateways[0].port}",
            "hub_key_id": signer.key_id,
            "hub_key": signer.public_key.hex(),
            "private_key": self.hub.signers[participant]._private_key.hex(),
            "tls": [str(files.certificate_file), str(files.private_key_file), str(files.authority_file)],
            "point": point,
            "names": self.work[participant],
            "new": NEW[1],
        }

    async def told(self) -> tuple[Cardholder, Replacement] | None:
        """The holder and the replacement, once it has begun."""
        async with await connect(self.hub.dsn, application_name="test") as connection:
            rows = await (await connection.execute("SELECT id FROM card_replacements")).fetchall()
            return await CardRegistry().find_replacement(connection, bytes(rows[0][0])) if rows else None

    async def reached(self, phase: str) -> tuple[Cardholder, Replacement]:
        """The same once the replacement has come to a phase."""
        async with asyncio.timeout(180):
            while True:
                told = await self.told()
                if told is not None and told[1].phase == phase:
                    return told
                await asyncio.sleep(0.1)

    async def began(self) -> None:
        """The old card is in use, and the bank was refused an account of a card that nobody produced yet."""
        self.adapters[BEIJING].local.put(social("ENABLED", card=OLD))
        self.adapters[BANK].local.put(
            change_pb2.ReportFinancialChangeRequest.FromString(HOLDER.financial("ACTIVATED", 1, card=NEW).payload)
        )

        async def is_so() -> bool:
            if not self.adapters[BANK].store_file.exists():
                return False
            async with await connect(self.hub.dsn, application_name="test") as connection:
                (cards,) = await (await connection.execute("SELECT count(*) FROM cards")).fetchone() or (0,)
            with contextlib.suppress(Exception), read_store(self.adapters[BANK].store_file) as store:
                return cards == 1 and bool(outbox.refused_events(store))
            return False

        await eventually_async(is_so, timeout_s=60)

    async def has_died_of_everything(self) -> None:
        """Every piece of the work was died of once, and done once."""
        for participant, names in self.work.items():
            adapter = self.adapters[participant]
            await eventually(lambda adapter=adapter, names=names: adapter.death_count == len(names))  # type: ignore[misc]
            assert sorted(adapter.local.noted("deaths")) == sorted(names)
            effects = adapter.local.noted("effects")
            assert len(effects) == len(set(effects)), effects

    def calls(self, name: str) -> int:
        """How often a local system was called for a piece of work."""
        return sum(adapter.local.noted("calls").count(name) for adapter in self.adapters.values())


def social(change: str, **what: object) -> change_pb2.ReportSocialChangeRequest:
    """A row of a card office, as the report of it."""
    return change_pb2.ReportSocialChangeRequest.FromString(HOLDER.social(change, 1, **what).payload)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def country(dsn: str, directory: Path, point: str, work: dict[str, list[str]]) -> AsyncIterator[Country]:
    """Adapters at work, the old card in use."""
    participants = (HUB, *work)
    async with contextlib.AsyncExitStack() as stack:
        hub = await stack.enter_async_context(
            running_hub(dsn, directory / "hub", participants=participants, patterns=(MEDICAL, CARDS))
        )
        made = Country(hub, directory, point, work)
        for adapter in made.adapters.values():
            await stack.enter_async_context(adapter.running())
        await made.began()
        yield made


@pytest.mark.parametrize("point", POINTS, ids=POINTS.values())
async def test_a_replacement_completes_with_every_effect_once(postgres_dsn: str, tmp_path: Path, point: str) -> None:
    async with country(postgres_dsn, tmp_path, point, WORK) as made:
        made.adapters[GUANGXI].local.put(social("ENABLED", card=NEW, replaces=OLD))
        _, replacement = await made.reached("open")
        confirmed = make_signed(
            made.hub.signers[GUANGXI],
            HOLDER.confirm(id_text(replacement.id)).payload,
            now_ms=now_ms(),
            sender=GUANGXI,
            recipient=HUB,
            method="/onecard.card.v1.CardReplacementService/ConfirmBenefitAccount",
        )
        (result,) = await made.hub.submit(GUANGXI, confirmed)
        assert result.HasField("receipt"), result
        await made.reached("completed")
        await made.has_died_of_everything()

        async def is_told() -> bool:
            holder, _ = await made.reached("completed")
            old, new = holder.find(OLD), holder.find(NEW)
            assert old is not None
            assert new is not None
            return (old.social.version, new.financial.version) == (2, 1)

        # What the authorities told besides: the end of the old card, and the account, after the card was there.
        await eventually_async(is_told, timeout_s=60)
        holder, replacement = await made.reached("completed")
        old, new = holder.find(OLD), holder.find(NEW)
        assert old is not None
        assert new is not None
        assert (old.social.state, new.social.state, new.social.version) == (
            values_pb2.SOCIAL_STATE_SUPERSEDED,
            values_pb2.SOCIAL_STATE_ACTIVE,
            1,
        )
        assert new.financial.state == values_pb2.FINANCIAL_STATE_ACTIVE
        for step in replacement.steps[1:]:
            name = replacement_pb2.ReplacementStep.Name(step.step).removeprefix("REPLACEMENT_STEP_")
            # An answer that was stored is sent by the next process; the local system is not called again for it.
            assert made.calls(name) == step.attempt + (point != "stored"), name
        await assert_nothing_is_lost_or_doubled(made.hub.log, made.hub.dsn)


@pytest.mark.parametrize("point", POINTS, ids=POINTS.values())
async def test_a_replacement_is_taken_back_with_every_effect_once(
    postgres_dsn: str, tmp_path: Path, point: str
) -> None:
    async with country(postgres_dsn, tmp_path, point, UNDOING) as made:
        made.adapters[GUANGXI].local.put(social("ENABLED", card=NEW, replaces=OLD))
        await made.reached("open")
        made.adapters[GUANGXI].local.put(social("CANCELLED", card=NEW, replaces=OLD))
        _, replacement = await made.reached("undone")
        await made.has_died_of_everything()
        for step in replacement.steps:
            name = f"back {replacement_pb2.ReplacementStep.Name(step.step).removeprefix('REPLACEMENT_STEP_')}"
            if any(name in names for names in UNDOING.values()):
                assert made.calls(name) == step.attempt + (point != "stored"), name
        await assert_nothing_is_lost_or_doubled(made.hub.log, made.hub.dsn)
