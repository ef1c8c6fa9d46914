"""What comes back beside a call."""

from __future__ import annotations

from onecard.exchange.v1 import message_pb2
from onecard_adapters.sdk.wire import RECEIPT_KEY, receipt_of


def test_a_receipt_is_read_as_it_came_and_one_without_form_is_empty() -> None:
    receipt = message_pb2.SignedReceipt(receipt=b"a", signature=b"b")
    assert receipt_of([("x-bin", b""), (RECEIPT_KEY, receipt.SerializeToString())]) == receipt
    assert receipt_of([(RECEIPT_KEY, b"\xff")]) == message_pb2.SignedReceipt()
    assert receipt_of([("x-bin", b"")]) is None
