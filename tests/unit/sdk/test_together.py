"""Calls that leave together: how many, how soon, and what becomes of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from onecard.exchange.v1 import errors_pb2, message_pb2, service_pb2
from onecard_adapters.runtime.outbox import Outgoing
from onecard_adapters.sdk.answers import PendingCall
from onecard_adapters.sdk.departures import FIRST_LEAD_S, MANY, Appends
from onecard_adapters.sdk.together import BATCHES_IN_FLIGHT_MAX, Together
from onecard_protocol import limits
from tests.support.eventually import eventually


class Signing:
    """Signs nothing, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self.count = 0

    async def sign_all(self, headers: Sequence[bytes]) -> list[bytes]:
        self.count += len(headers)
        if self._error is not None:
            raise self._error
        return [b"signature"] * len(headers)


class Gateway:
    """A gateway that gives every message a receipt, once it may answer."""

    def __init__(self, *, misses_result: bool = False) -> None:
        self.address = "gateway"
        self.submission = SimpleNamespace(SubmitBatch=self._submit)
        self.sizes: list[int] = []
        self.may_answer = asyncio.Event()
        self.appends = Appends()
        self.gathering_ms = self.journaling_ms = 0
        self._misses_result = misses_result

    async def _submit(self, request: service_pb2.SubmitBatchRequest, **_: object) -> service_pb2.SubmitBatchResponse:
        self.sizes.append(len(request.messages))
        await self.may_answer.wait()
        count = len(request.messages) - self._misses_result
        receipt = service_pb2.SubmitResult(receipt=message_pb2.SignedReceipt(receipt=b"receipt"))
        return service_pb2.SubmitBatchResponse(
            results=[receipt] * count, gathering_ms=self.gathering_ms, journaling_ms=self.journaling_ms
        )


def together(gateway: Gateway, signing: Signing | None = None) -> Together:
    return Together(SimpleNamespace(current=gateway), signing or Signing())  # type: ignore[arg-type]


def submit(calls: Together, *, payload: bytes = b"") -> tuple[PendingCall, asyncio.Future[Any]]:
    outgoing = Outgoing(
        id=bytes(16),
        recipient="cn-51",
        method="m",
        kind=message_pb2.MESSAGE_KIND_REQUEST,
        header=b"header",
        payload=payload,
        subject=b"",
    )
    pending = PendingCall(outgoing, asyncio.get_running_loop().create_future(), is_durable=False)
    return pending, calls.submit(pending)


async def test_what_waits_leaves_in_one_submission_of_as_many_as_it_may_hold() -> None:
    gateway = Gateway()
    calls = together(gateway)
    gateway.may_answer.set()
    made = [submit(calls) for _ in range(limits.SUBMIT_BATCH_COUNT_MAX + 3)]
    ends = await asyncio.gather(*[future for _, future in made])

    assert gateway.sizes == [limits.SUBMIT_BATCH_COUNT_MAX, 3]
    assert all(end.receipt.receipt == b"receipt" for end in ends)
    assert all(pending.may_be_known for pending, _ in made)


async def test_a_submission_is_no_larger_than_a_gateway_takes_and_one_message_always_leaves() -> None:
    gateway = Gateway()
    calls = together(gateway)
    gateway.may_answer.set()
    half = bytes(limits.SUBMIT_BATCH_BYTES_MAX // 2)
    made = [submit(calls, payload=payload) for payload in (half, half, half + half, b"")]
    await asyncio.gather(*[future for _, future in made])

    assert gateway.sizes == [1, 1, 1, 1]


async def test_no_more_submissions_are_under_way_than_a_gateway_is_asked_to_take() -> None:
    gateway = Gateway()
    calls = together(gateway)
    futures = []
    for expected in range(1, BATCHES_IN_FLIGHT_MAX + 1):
        futures.append(submit(calls)[1])
        await eventually(lambda expected=expected: len(gateway.sizes) == expected)  # type: ignore[misc]
    waiting = [submit(calls) for _ in range(5)]
    await asyncio.sleep(0.05)
    assert len(gateway.sizes) == BATCHES_IN_FLIGHT_MAX
    assert not any(pending.may_be_known for pending, _ in waiting)
    gateway.may_answer.set()
    await asyncio.gather(*futures, *[future for _, future in waiting])

    assert gateway.sizes == [1] * BATCHES_IN_FLIGHT_MAX + [5]


async def test_what_comes_while_the_gateway_gathers_leaves_together_and_many_wait_for_nobody() -> None:
    gateway = Gateway()
    gateway.may_answer.set()
    gateway.gathering_ms = 10_000_000  # More than any gateway gathers: it is believed for 0.2 s.
    calls = together(gateway)
    begun_s = asyncio.get_running_loop().time()
    await submit(calls)[1]
    held = [submit(calls)[1] for _ in range(MANY - 1)]
    await asyncio.sleep(0.1)
    assert gateway.sizes == [1]
    await asyncio.gather(*held)
    assert gateway.sizes == [1, MANY - 1]
    assert asyncio.get_running_loop().time() - begun_s > 0.15

    many = [submit(calls)[1] for _ in range(MANY)]
    await asyncio.sleep(0.1)
    assert gateway.sizes == [1, MANY - 1, MANY]
    await asyncio.gather(*many)


@pytest.mark.parametrize("journaling_ms", [1, 10_000])
async def test_what_a_submission_takes_without_its_journaling_is_its_way(journaling_ms: int) -> None:
    gateway = Gateway()
    gateway.journaling_ms = journaling_ms
    calls = together(gateway)
    asyncio.get_running_loop().call_later(0.21, gateway.may_answer.set)
    await submit(calls)[1]

    assert (gateway.appends.leads_s[0] > 1.5 * FIRST_LEAD_S) == (journaling_ms == 1)


async def test_who_gave_up_before_the_submission_began_is_left_out() -> None:
    gateway = Gateway()
    calls = together(gateway)
    gateway.may_answer.set()
    (left_out, gone), (_, kept) = submit(calls), submit(calls)
    gone.cancel()
    await kept

    assert gateway.sizes == [1]
    assert not left_out.may_be_known


async def test_who_gave_up_takes_no_place_and_is_not_signed() -> None:
    gateway, signing = Gateway(), Signing()
    gateway.may_answer.set()
    calls = together(gateway, signing)
    for _ in range(limits.SUBMIT_BATCH_COUNT_MAX):
        submit(calls)[1].cancel()
    await submit(calls)[1]

    assert gateway.sizes == [1]
    assert signing.count == 1


async def test_without_a_result_for_each_nothing_is_known_of_any() -> None:
    gateway = Gateway(misses_result=True)
    calls = together(gateway)
    gateway.may_answer.set()
    ends = await asyncio.gather(*[submit(calls)[1] for _ in range(2)])

    assert [(end.receipt, end.refusal) for end in ends] == [(None, None)] * 2


async def test_a_failed_signature_goes_to_everyone_of_the_submission_and_nothing_was_sent() -> None:
    gateway = Gateway()
    calls = together(gateway, Signing(ValueError("no key")))
    pending, future = submit(calls)
    with pytest.raises(ValueError, match="no key"):
        await future

    assert gateway.sizes == []
    assert not pending.may_be_known


async def test_a_refusal_is_the_messages_own() -> None:
    async def refuse(request: service_pb2.SubmitBatchRequest, **_: object) -> service_pb2.SubmitBatchResponse:
        refusal = service_pb2.Refusal(reason=errors_pb2.ERROR_REASON_HUB_NOT_READY, retry_after_ms=700)
        return service_pb2.SubmitBatchResponse(results=[service_pb2.SubmitResult(refusal=refusal)])

    gateway = Gateway()
    calls = together(gateway)
    gateway.submission.SubmitBatch = refuse
    end = await submit(calls)[1]

    assert end.receipt is None
    assert (end.refusal.reason, end.refusal.retry_after_ms) == (errors_pb2.ERROR_REASON_HUB_NOT_READY, 700)
