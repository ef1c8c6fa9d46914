"""A holder's number is corrected at the card office: what a counter is told under either number, by a real hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from onecard.card.v1 import change_pb2, feed_pb2, status_pb2
from onecard.card.v1.feed_pb2_grpc import CardFeedServiceStub
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.runtime import outbox
from onecard_protocol.identifiers import HUB
from tests.support.card_adapters import BANK, ISSUER, CardAdapter, card_adapter, card_hub, machine_at, refusals
from tests.support.card_reports import card
from tests.support.exchange import assert_nothing_is_lost_or_doubled
from tests.support.gateway import Hub, eventually_async
from tests.support.messages import person

pytest_plugins = ("tests.support.engines",)

FORMER, CORRECTED = person(991), person(992)


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with card_hub(postgres_dsn, tmp_path / "hub") as running:
        yield running


def shown(state: str, holder: exchange_values_pb2.PersonIdentity) -> change_pb2.ReportSocialChangeRequest:
    """The card, in the tables of the office."""
    row = ISSUER.report(state)
    assert isinstance(row, change_pb2.ReportSocialChangeRequest)
    row.person.CopyFrom(holder)
    return row


def lose(directory: Path) -> None:
    """The issuer's store is gone, with its key."""
    for file in directory.glob(f"{ISSUER.participant}.*"):
        file.unlink()


async def hears(adapter: CardAdapter, former: str, corrected: str) -> None:
    """A counter that read the chip, and one that was given the new number, come to hear these verdicts."""
    told: list[str] = []

    async def is_told() -> bool:
        told[:] = [
            status_pb2.CardVerdict.Name(
                (
                    await adapter.desk.verify(
                        status_pb2.VerifyCardRequest(
                            person=holder, card_number=card(991).number, purpose="counter", terminal="T1"
                        )
                    )
                ).verdict
            ).removeprefix("CARD_VERDICT_")
            for holder in (FORMER, CORRECTED)
        ]
        return told == [former, corrected]

    try:
        await eventually_async(is_told)
    except TimeoutError:
        pytest.fail(f"the counters hear {told}")


@pytest.mark.parametrize("is_taken_over", [False, True], ids=["told", "taken over from the registry"])
async def test_the_former_number_is_locked_and_never_valid_again_unless_the_correction_is_taken_back(
    hub: Hub, tmp_path: Path, is_taken_over: bool
) -> None:
    async with card_adapter(hub, tmp_path, ISSUER) as adapter:
        await adapter.show(shown("ACTIVE", FORMER))
        await hears(adapter, "VALID", "UNKNOWN_CARD")
    if is_taken_over:
        lose(tmp_path)
    async with card_adapter(hub, tmp_path, ISSUER) as adapter:
        assert await adapter.show(shown("ACTIVE", FORMER)) == 0
        await adapter.show(shown("ACTIVE", CORRECTED))
        await hears(adapter, "LOCKED", "VALID")
        await adapter.show(shown("LOST", CORRECTED))
        await hears(adapter, "LOCKED", "LOST")
        await adapter.show(shown("ACTIVE", CORRECTED))
        await hears(adapter, "LOCKED", "VALID")
        await adapter.show(shown("ACTIVE", FORMER))
        await hears(adapter, "VALID", "LOCKED")
        # What was told under the other number is missing under this one, until the newest is told again.
        assert (await machine_at(hub, ISSUER, 7, late_count=1)).missing == ()
        assert (await refusals(hub, ISSUER), await adapter.exchange.store.run(outbox.refused_events)) == ([], {})
    await assert_nothing_is_lost_or_doubled(hub.log, hub.dsn)


@pytest.mark.parametrize("is_linked_first", [True, False], ids=["linked first", "linked later"])
async def test_under_linked_numbers_both_are_told_the_same(hub: Hub, tmp_path: Path, is_linked_first: bool) -> None:
    async with card_adapter(hub, tmp_path, ISSUER) as adapter:
        await adapter.show(shown("ACTIVE", FORMER))
        await hears(adapter, "VALID", "UNKNOWN_CARD")
        link = feed_pb2.LinkNumberRequest(person=FORMER, primary=CORRECTED, document="更正申请 2024-1")
        feed = CardFeedServiceStub(adapter.exchange.to(HUB))
        if is_linked_first:
            await feed.LinkNumber(link)
            await hears(adapter, "VALID", "VALID")
        await adapter.show(shown("ACTIVE", CORRECTED))
        if not is_linked_first:
            await hears(adapter, "LOCKED", "VALID")
            await feed.LinkNumber(link)
        await hears(adapter, "VALID", "VALID")
        await adapter.show(shown("LOST", CORRECTED))
        await hears(adapter, "LOST", "LOST")
        assert await refusals(hub, ISSUER) == []


async def test_a_bank_that_corrected_the_number_first_tells_the_account_again(hub: Hub, tmp_path: Path) -> None:
    account = BANK.report("ACTIVE")
    async with card_adapter(hub, tmp_path, ISSUER) as issuer, card_adapter(hub, tmp_path, BANK) as bank:
        await issuer.show(shown("ACTIVE", FORMER))
        await hears(issuer, "VALID", "UNKNOWN_CARD")
        await bank.show(account)
        account.person.CopyFrom(CORRECTED)
        await bank.show(account)

        async def is_refused() -> bool:
            return await refusals(hub, BANK) == ["CARD_UNKNOWN"]

        await eventually_async(is_refused)
        await issuer.show(shown("ACTIVE", CORRECTED))

        async def is_known() -> bool:
            question = status_pb2.CardQuestion(person=CORRECTED, card=card(991))
            (answer,) = await bank.desk.statuses([question], purpose="counter")
            return [one.financial_version for one in answer.cards] == [2]

        await eventually_async(is_known)
