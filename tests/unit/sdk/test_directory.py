"""The directory as the adapter follows it."""

from __future__ import annotations

import asyncio

import pytest

from onecard.exchange.v1 import control_pb2, errors_pb2
from onecard_adapters.sdk.directory import DirectoryView
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.messages import from_wire
from onecard_protocol.signatures.blocks import BlockVerifier
from tests.support.fake_hub import ENGINE, NETWORK, FakeHub, new_signer


@pytest.fixture
async def hub() -> FakeHub:
    return FakeHub()


def view_of(hub: FakeHub) -> DirectoryView:
    return DirectoryView({hub.signer.key_id: hub.signer.public_key}, BlockVerifier(ENGINE), network=NETWORK)


def apply(view: DirectoryView, hub: FakeHub) -> None:
    for record in hub.controls[view.number :]:
        view.apply(from_wire(record))


async def test_keys_come_with_their_owner_and_validity(hub: FakeHub) -> None:
    hub.add_participant("cn-44")
    view = view_of(hub)
    apply(view, hub)
    key = view.key("cn-44-1")

    key.check("cn-44", hub.now_ms())
    for sender, created_ms, reason in (
        ("cn-51", hub.now_ms(), errors_pb2.ERROR_REASON_KEY_OF_OTHER_PARTICIPANT),
        ("cn-44", hub.now_ms() + 7_200_000, errors_pb2.ERROR_REASON_KEY_EXPIRED),
    ):
        with pytest.raises(OneCardError) as refused:
            key.check(sender, created_ms)
        assert refused.value.reason == reason


async def test_a_new_key_of_a_province_may_sign_what_was_made_before_it_and_one_of_the_hub_may_not(
    hub: FakeHub,
) -> None:
    hub.add_participant("cn-44")
    hub.put_key(HUB, new_signer("hub-2"))
    view = view_of(hub)
    apply(view, hub)

    view.key("cn-44-1").check("cn-44", hub.now_ms() - 7_200_000)
    with pytest.raises(OneCardError) as refused:
        view.key("hub-2").check(HUB, hub.now_ms() - 7_200_000)
    assert refused.value.reason == errors_pb2.ERROR_REASON_KEY_NOT_YET_VALID


async def test_a_revoked_key_signs_nothing_made_since_and_nothing_that_is_acted_upon(hub: FakeHub) -> None:
    hub.add_participant("cn-44")
    revoked_ms = hub.now_ms()
    hub.revoke("cn-44-1", revoked_ms)
    view = view_of(hub)
    apply(view, hub)
    key = view.key("cn-44-1")

    key.check("cn-44", revoked_ms - 1)
    with pytest.raises(OneCardError):
        key.check("cn-44", revoked_ms)
    with pytest.raises(OneCardError):
        key.check_before_acting(revoked_ms)


async def test_a_key_that_is_put_again_stays_revoked(hub: FakeHub) -> None:
    signer = hub.add_participant("cn-44")
    hub.revoke("cn-44-1", 0)
    hub.put_key("cn-44", signer)
    view = view_of(hub)
    apply(view, hub)

    with pytest.raises(OneCardError):
        view.key("cn-44-1").check_before_acting(hub.now_ms())


async def test_a_record_of_an_unknown_key_or_of_a_province_is_not_applied(hub: FakeHub) -> None:
    province = hub.add_participant("cn-44")
    view = view_of(hub)
    apply(view, hub)
    for stranger in (new_signer("hub-1"), new_signer("hub-2"), province):
        hub.control(signer=stranger)
        with pytest.raises(OneCardError):
            view.apply(from_wire(hub.controls.pop()))
    assert view.number == len(hub.controls)


async def test_a_further_key_of_the_hub_counts_once_a_trusted_one_signed_it_in(hub: FakeHub) -> None:
    following = new_signer("hub-2")
    hub.put_key(HUB, following)
    hub.control(signer=following, put_participant=control_pb2.Participant(id="cn-51"))
    view = view_of(hub)
    apply(view, hub)

    assert set(view.participants) == {"cn-51"}


async def test_the_hubs_pinned_key_cannot_be_replaced_but_revoked(hub: FakeHub) -> None:
    hub.put_key("cn-44", new_signer(hub.signer.key_id))
    hub.revoke(hub.signer.key_id, hub.now_ms())
    view = view_of(hub)
    apply(view, hub)

    assert view.key(hub.signer.key_id).public_key == hub.signer.public_key
    with pytest.raises(OneCardError):
        view.key(hub.signer.key_id).check_before_acting(hub.now_ms() + 1)


async def test_numbers_have_no_gap_and_repeats_change_nothing(hub: FakeHub) -> None:
    for participant in ("cn-44", "cn-51"):
        hub.add_participant(participant)
    view = view_of(hub)
    view.apply(from_wire(hub.controls[0]))
    view.apply(from_wire(hub.controls[0]))
    with pytest.raises(OneCardError):
        view.apply(from_wire(hub.controls[2]))
    assert view.number == 1


async def test_the_view_is_fresh_only_when_it_has_everything_that_the_hub_knows(hub: FakeHub) -> None:
    hub.add_participant("cn-44")
    view = view_of(hub)
    view.hear(2)
    assert not view.is_fresh
    apply(view, hub)
    view.hear(2)
    assert view.is_fresh


async def test_a_key_that_comes_a_moment_later_is_waited_for(hub: FakeHub) -> None:
    view = view_of(hub)
    waiting = asyncio.create_task(view.wait_for_key("cn-44-1", 10))
    await asyncio.sleep(0)
    hub.add_participant("cn-44")
    apply(view, hub)
    await waiting
    assert view.key("cn-44-1").participant == "cn-44"


async def test_a_record_of_another_network_is_refused(hub: FakeHub) -> None:
    hub.control(put_participant=control_pb2.Participant(id="cn-44"))
    view = DirectoryView({hub.signer.key_id: hub.signer.public_key}, BlockVerifier(ENGINE), network="production")
    with pytest.raises(OneCardError) as refused:
        apply(view, hub)
    assert refused.value.reason == errors_pb2.ERROR_REASON_WRONG_NETWORK
