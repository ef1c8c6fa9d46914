"""An adapter that lost its store goes on from the versions of the real hub's registry."""

from __future__ import annotations

import asyncio
import functools
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from onecard.card.v1 import change_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards.desk import ExchangeCardDesk
from onecard_adapters.runtime import outbox
from onecard_protocol.errors import OneCardError
from tests.support.card_adapters import (
    BANK,
    ISSUER,
    Authority,
    CardAdapter,
    card_adapter,
    card_hub,
    journaled,
    know_the_card,
    machine_at,
    refusals,
    registered,
    tell,
    told_version,
)
from tests.support.card_copies import NotingOffice
from tests.support.exchange import assert_nothing_is_lost_or_doubled
from tests.support.gateway import Hub, eventually, eventually_async

pytest_plugins = ("tests.support.engines",)

STATES = {
    ISSUER: ("PRODUCED", "ACTIVE", "TEMPORARILY_LOST", "ACTIVE"),
    BANK: ("NOT_ACTIVATED", "ACTIVE", "FROZEN", "ACTIVE"),
}
QUIET, MOVED = 991, 992
"""A card that stays as it was while there is no store, and one that changes meanwhile."""

each_authority = pytest.mark.parametrize("authority", [ISSUER, BANK], ids=["issuer", "bank"])


@pytest.fixture
async def hub(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Hub]:
    async with card_hub(postgres_dsn, tmp_path / "hub") as running:
        yield running


def lose(directory: Path, authority: Authority) -> None:
    """The store with its key is gone."""
    files = list(directory.glob(f"{authority.participant}.*"))
    assert directory / f"{authority.participant}.sqlite" in files
    for file in files:
        file.unlink()


def keep(directory: Path, elsewhere: Path, authority: Authority = ISSUER) -> None:
    """Copy the authority's store with its key."""
    elsewhere.mkdir(exist_ok=True)
    for file in elsewhere.glob(f"{authority.participant}.*"):
        file.unlink()
    for file in directory.glob(f"{authority.participant}.*"):
        shutil.copy(file, elsewhere)


async def is_refused(adapter: CardAdapter) -> bool:
    """Whether a report waits for a person."""
    return bool(await adapter.exchange.store.run(outbox.refused_events))


async def never(*_: object, **__: object) -> bool:
    return False


@each_authority
async def test_the_next_change_after_the_loss_has_the_version_after_the_registrys(
    hub: Hub, tmp_path: Path, authority: Authority
) -> None:
    *before, after = STATES[authority]
    serials = (QUIET, MOVED)
    await know_the_card(hub, authority, *serials)
    async with card_adapter(hub, tmp_path, authority) as adapter:
        for state in before:
            rows = [authority.report(state, serial=serial) for serial in serials]
            assert await adapter.show(*rows) == len(rows)
        for serial in serials:
            await told_version(adapter, authority, 3, serial=serial)
    lose(tmp_path, authority)

    async with card_adapter(hub, tmp_path, authority) as adapter:
        quiet, _ = rows
        assert await adapter.show(quiet, authority.report(after, serial=MOVED)) == 1
        await machine_at(hub, authority, 4, serial=MOVED)
        await machine_at(hub, authority, 3, serial=QUIET)
        assert await adapter.show(authority.report(after, serial=QUIET)) == 1
        machines = [await machine_at(hub, authority, 4, serial=serial) for serial in serials]
        refused = await adapter.exchange.store.run(outbox.refused_events)

    assert {machine.missing for machine in machines} == {()}
    assert sorted(await journaled(hub, authority)) == [1, 1, 2, 2, 3, 3, 4, 4]
    assert (await refusals(hub, authority), refused) == ([], {})
    await assert_nothing_is_lost_or_doubled(hub.log, hub.dsn)


@pytest.mark.parametrize("version_count", [4, 5])
@pytest.mark.parametrize("is_down", [False, True], ids=["at once", "after a start"])
async def test_a_loss_that_is_refused_after_a_backup_was_restored_is_told_with_the_registrys_next_version(
    hub: Hub, tmp_path: Path, version_count: int, is_down: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup has version 3, and tells the loss as the fourth: the registry has that one, or a newer one."""
    states = ("PRODUCED", "ACTIVE", "TEMPORARILY_LOST", "ACTIVE", "TEMPORARILY_LOST")
    backup = tmp_path / "backup"
    for version, state in enumerate(states[:version_count], start=1):
        if version == 4:
            keep(tmp_path, backup)
        async with card_adapter(hub, tmp_path, ISSUER) as adapter:
            await adapter.show(ISSUER.report(state))
            await told_version(adapter, ISSUER, version)
    keep(backup, tmp_path)
    lost = ISSUER.report("LOST")
    if is_down:
        with monkeypatch.context() as patched:
            patched.setattr(ExchangeCardDesk, "make_good", never)
            async with card_adapter(hub, tmp_path, ISSUER) as adapter:
                await adapter.show(lost)
                await eventually_async(functools.partial(is_refused, adapter))
    async with card_adapter(hub, tmp_path, ISSUER, lost) as adapter:
        await adapter.show(lost)
        await told_version(adapter, ISSUER, version_count + 1)
        known = await registered(hub)
        assert known is not None
        assert known.social.state == values_pb2.SOCIAL_STATE_LOST
        assert await refusals(hub, ISSUER) == [
            "CARD_VERSION_CONFLICT" if version_count == 4 else "CARD_VERSION_BACKWARDS"
        ]

        async def is_made_good() -> bool:
            return not await is_refused(adapter)

        await eventually_async(is_made_good)


@each_authority
@pytest.mark.parametrize("version_count", [3, 4])
async def test_what_the_registry_does_not_tell_is_told_after_a_backup_was_restored_too(
    hub: Hub, tmp_path: Path, authority: Authority, version_count: int
) -> None:
    """A name, or an account's number, is corrected: of it the registry's answer shows no difference."""
    states = STATES[authority][:version_count]
    await know_the_card(hub, authority)
    for version, state in enumerate(states, start=1):
        if version == 3:
            keep(tmp_path, tmp_path / "backup", authority)
        async with card_adapter(hub, tmp_path, authority) as adapter:
            await adapter.show(authority.report(state))
            await told_version(adapter, authority, version)
    keep(tmp_path / "backup", tmp_path, authority)
    corrected = authority.report(states[-1])
    if isinstance(corrected, change_pb2.ReportFinancialChangeRequest):
        corrected.bank_card_number = "6217000000000000012"
    else:
        corrected.holder.name = "改名"

    async with card_adapter(hub, tmp_path, authority, corrected) as adapter:
        await adapter.show(corrected)
        await told_version(adapter, authority, version_count + 1)
        assert len(await refusals(hub, authority)) == 1

        async def is_made_good() -> bool:
            return not await is_refused(adapter)

        await eventually_async(is_made_good)


async def test_a_bank_that_lost_its_store_tells_no_account_again_that_the_registry_has(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await know_the_card(hub, BANK, change="ENABLED")
    row = BANK.report("ACTIVE", 1, change="ACTIVATED")
    await tell(hub, BANK, row)
    await machine_at(hub, BANK, 1)
    took_over = asyncio.Event()

    async def take_later(*_: object) -> None:
        await took_over.wait()

    monkeypatch.setattr(NotingOffice, "tell", take_later)
    async with card_adapter(hub, tmp_path, BANK, row) as adapter:
        assert await adapter.show(row) == 0
        await eventually(lambda: len(adapter.exchange._parts.processing) == 1)
        took_over.set()
        await eventually(lambda: len(adapter.exchange._parts.processing) == 0)
        assert await adapter.show(BANK.report("FROZEN")) == 1
        await machine_at(hub, BANK, 2)

    assert await journaled(hub, BANK) == [1, 2]


@each_authority
@pytest.mark.parametrize("is_moved", [False, True], ids=["as-it-was", "changed-meanwhile"])
async def test_a_gap_is_closed_by_an_adapter_without_the_store_that_told_of_it(
    hub: Hub, tmp_path: Path, authority: Authority, is_moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, passed_to, later = STATES[authority]
    monkeypatch.setattr(ExchangeCardDesk, "statuses", failing_once(ExchangeCardDesk.statuses))
    await know_the_card(hub, authority)
    row = authority.report(passed_to, 3, change=passed_to)
    await tell(hub, authority, authority.report(first, 1), row)
    assert (await machine_at(hub, authority, 3)).missing == ((2, 2),)
    row = authority.report(later) if is_moved else row

    async with card_adapter(hub, tmp_path, authority, row) as adapter:
        machine = await machine_at(hub, authority, 4, late_count=1)
        assert await adapter.show(row) == 0

    assert machine.missing == ()
    assert await journaled(hub, authority) == [1, 3, 4, 4]
    assert await refusals(hub, authority) == ([] if is_moved else ["CARD_ALREADY"])
    await assert_nothing_is_lost_or_doubled(hub.log, hub.dsn)


def failing_once(ask: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    """The registry cannot be asked at first."""
    failures = [OneCardError(errors_pb2.ERROR_REASON_HUB_NOT_READY)]

    async def ask_or_fail(*arguments: object, **named: object) -> object:
        if failures:
            raise failures.pop()
        return await ask(*arguments, **named)

    return ask_or_fail
