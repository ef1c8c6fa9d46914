"""What a province knows of cards: the newest version of each machine, under hidden keys, read in the order of keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecard.card.v1 import change_pb2, comparison_pb2, values_pb2
from onecard_adapters.cards import copies as copies_module
from onecard_adapters.cards.copy_trees import CopyTrees
from onecard_adapters.runtime.sealing import Sealer
from onecard_protocol.card_digests import PARTS, data_digest, key_of
from onecard_protocol.errors import OneCardError, policy
from tests.support.card_copies import Province, make_copy, province
from tests.support.card_desk import make_account, make_card

ISSUED = comparison_pb2.COMPARISON_SCOPE_ISSUED
FOLLOWED = comparison_pb2.COMPARISON_SCOPE_FOLLOWED
CARD = values_pb2.CardReference(issuer="cn-45", number="A00000001", sequence=1)


@pytest.fixture
async def beijing(tmp_path: Path) -> AsyncIterator[Province]:
    async with province(tmp_path / "store.sqlite") as made:
        yield made


def social(version: int, state: values_pb2.SocialState, **data: object) -> change_pb2.ReportSocialChangeRequest:
    told = values_pb2.CardData(generation=3, bank="bank-102", **data)  # type: ignore[arg-type]
    return change_pb2.ReportSocialChangeRequest(card=CARD, version=version, state=state, data=told)


def financial(version: int, state: values_pb2.FinancialState) -> change_pb2.ReportFinancialChangeRequest:
    return change_pb2.ReportFinancialChangeRequest(card=CARD, version=version, state=state)


async def test_what_the_desk_tells_is_what_is_compared(beijing: Province) -> None:
    card = make_card()
    await beijing.world.desk.observe([card, make_account()])
    await beijing.world.desk.observe([make_card(state=values_pb2.SOCIAL_STATE_LOST)])
    found = await beijing.card(card.card)
    assert found == comparison_pb2.CopiedCard(
        card=card.card,
        social_state=values_pb2.SOCIAL_STATE_LOST,
        social_version=2,
        data_digest=data_digest(card.data),
    )


async def test_a_published_change_counts_by_its_version_and_not_by_its_arrival(beijing: Province) -> None:
    await beijing.receive(social(2, values_pb2.SOCIAL_STATE_LOST))
    await beijing.receive(financial(4, values_pb2.FINANCIAL_STATE_FROZEN))
    await beijing.receive(social(1, values_pb2.SOCIAL_STATE_ACTIVE))
    await beijing.receive(financial(3, values_pb2.FINANCIAL_STATE_ACTIVE))
    found = await beijing.card(CARD)
    assert found is not None
    assert (found.social_state, found.social_version) == (values_pb2.SOCIAL_STATE_LOST, 2)
    assert (found.financial_state, found.financial_version) == (values_pb2.FINANCIAL_STATE_FROZEN, 4)
    assert len(beijing.office.told) == 4


async def test_another_bank_counts_from_the_beginning(beijing: Province) -> None:
    await beijing.receive(social(1, values_pb2.SOCIAL_STATE_ACTIVE))
    await beijing.receive(financial(7, values_pb2.FINANCIAL_STATE_FROZEN))
    moved = social(2, values_pb2.SOCIAL_STATE_ACTIVE)
    moved.data.bank = "bank-103"
    await beijing.receive(moved)
    await beijing.receive(financial(1, values_pb2.FINANCIAL_STATE_ACTIVE))
    found = await beijing.card(CARD)
    assert found is not None
    assert (found.financial_state, found.financial_version) == (values_pb2.FINANCIAL_STATE_ACTIVE, 1)


async def test_a_change_without_data_leaves_the_data(beijing: Province) -> None:
    first = social(1, values_pb2.SOCIAL_STATE_ACTIVE)
    await beijing.receive(first)
    second = social(2, values_pb2.SOCIAL_STATE_LOST)
    second.ClearField("data")
    await beijing.receive(second)
    found = await beijing.card(CARD)
    assert found is not None
    assert (found.social_version, found.data_digest) == (2, data_digest(first.data))


async def test_neither_number_nor_key_stands_in_the_file(beijing: Province, tmp_path: Path) -> None:
    await beijing.receive(social(1, values_pb2.SOCIAL_STATE_ACTIVE))
    written = await asyncio.to_thread(lambda: b"".join(file.read_bytes() for file in tmp_path.iterdir()))
    assert b"card_copies" in written
    assert b"A00000001" not in written
    assert key_of("cn-45", "A00000001", 1) not in written


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=20))
def test_hidden_keys_are_revealed_each_by_itself(keys: list[bytes]) -> None:
    sealer = Sealer(bytes(range(32)))
    assert sealer.reveal(b"".join(sealer.hide(key) for key in keys)) == b"".join(keys)


async def test_pages_hold_each_card_of_the_ranges_once_in_the_order_of_keys(
    beijing: Province, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies_module, "PAGE_COUNT_MAX", 7)
    cards = [make_copy(number) for number in range(300)]
    await beijing.put(cards)
    await beijing.put([make_copy(number, "cn-45") for number in range(50)])
    prefixes = ["3", "a4", "0", "f"]
    expected = sorted(
        key for card in cards if (key := key_of("cn-11", card.card.number, 1).hex()).startswith(tuple(prefixes))
    )
    found: list[str] = []
    while True:
        answer = await beijing.stub.ReadCards(
            comparison_pb2.ReadCardsRequest(scope=ISSUED, prefixes=prefixes, after_key=found[-1] if found else "")
        )
        found += [key_of(card.card.issuer, card.card.number, card.card.sequence).hex() for card in answer.cards]
        if not answer.is_cut_off:
            break
    assert found == expected
    assert len(expected) > 40


async def test_a_tree_is_kept_up_with_what_changes(beijing: Province) -> None:
    await beijing.put([make_copy(number) for number in range(2_000)])
    first = await beijing.trees.tree(3, is_issued=True)
    root = first.root
    changed = make_copy(77, social_state=values_pb2.SOCIAL_STATE_LOST)
    await beijing.put([changed, make_copy(9_999)])
    second = await beijing.trees.tree(3, is_issued=True)
    assert second is first
    assert second.root != root
    anew = await province_tree(beijing, 3)
    assert (second.root, second.card_count) == (anew, 2_001)


async def test_a_tree_is_built_anew_for_another_depth_and_after_many_changes(beijing: Province) -> None:
    await beijing.put([make_copy(number) for number in range(100)])
    first = await beijing.trees.tree(2, is_issued=True)
    assert (await beijing.trees.tree(1, is_issued=True)).depth == 1
    await beijing.put([make_copy(number, social_version=4) for number in range(100)])
    second = await beijing.trees.tree(2, is_issued=True)
    assert second is not first
    assert second.root == await province_tree(beijing, 2)


async def test_of_a_tree_in_the_making_the_asker_is_told_to_come_again(tmp_path: Path) -> None:
    async with province(tmp_path / "store.sqlite", wait_s=0) as made:
        await made.put([make_copy(number) for number in range(20)])
        request = comparison_pb2.ReadDigestsRequest(scope=ISSUED, depth=1, prefixes=[""])
        refused: list[int] = []
        while True:
            try:
                answer = await made.stub.ReadDigests(request)
                break
            except OneCardError as error:
                refused.append(error.reason)
                await asyncio.sleep(0.01)
        assert refused
        assert all(policy(reason).retryable for reason in refused)
        assert answer.card_count == 20
        assert len(answer.ranges[0].digests) == 16 * PARTS


async def province_tree(made: Province, depth: int) -> bytes:
    """The root of a tree that is built from the rows as they are now."""
    tree = await CopyTrees(made.store, made.copies).tree(depth, is_issued=True)
    return tree.root
