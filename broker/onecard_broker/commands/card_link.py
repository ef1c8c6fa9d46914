"""`onecard card link` and `unlink`: two numbers are one person, by the hub's own signed request through its gateway.

Numbers come from the terminal, unseen, or from standard input, a line each; never from the command line.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from onecard.card.v1 import feed_pb2
from onecard.card.v1.feed_pb2_grpc import CardFeedServiceStub
from onecard.exchange.v1 import values_pb2
from onecard_broker.commands.card_calls import (
    ConfigOption,
    GatewayOption,
    JsonOption,
    YesOption,
    call_hub,
    checked_settings,
    confirm,
    required,
)
from onecard_broker.commands.card_show import read_number
from onecard_broker.domain.card_holding import person_of
from onecard_broker.domain.card_state import Cardholder
from onecard_protocol.identity import normalise_identity

KindOption = Annotated[str, typer.Option(help="Certificate type of the old number, as GA/T 517 codes it.")]


def link(
    config: ConfigOption,
    document: Annotated[str, typer.Option(help="Document of the decision; no personal data.")],
    kind: KindOption = "01",
    primary_kind: Annotated[str, typer.Option(help="Certificate type of the new number.")] = "01",
    gateway: GatewayOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Record that a person's old number is replaced by a new one: asks for the old one, then for the new one.

    Cards, followers and replacements move to the new number. Of two cards in use the older one is replaced.
    """
    request = feed_pb2.LinkNumberRequest(
        person=_identity(kind, read_number("Old number / 原证件号码: ")),
        primary=_identity(primary_kind, read_number("New number / 现证件号码: ")),
        document=required("--document", document, "card link"),
    )
    confirm("Link these numbers? / 关联这两个证件号码？", "card link", is_sure=yes)
    response: feed_pb2.LinkNumberResponse = _call(config, gateway, lambda stub: stub.LinkNumber(request))
    if as_json:
        print(json.dumps({"card_count": response.card_count}))
    else:
        print(f"Linked; {response.card_count} cards came over. / 已关联，转入 {response.card_count} 张卡。")


def unlink(
    config: ConfigOption,
    cause: Annotated[str, typer.Option(help="Why; no personal data.")],
    kind: KindOption = "01",
    gateway: GatewayOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take the link of an old number back: asks for the old number. Cards stay where they are."""
    request = feed_pb2.UnlinkNumberRequest(
        person=_identity(kind, read_number("Old number / 原证件号码: ")),
        cause=required("--cause", cause, "card unlink"),
    )
    confirm("Take the link back? / 解除关联？", "card unlink", is_sure=yes)
    _call(config, gateway, lambda stub: stub.UnlinkNumber(request))
    if as_json:
        print(json.dumps({}))
    else:
        print("The number stands for itself again. / 已解除关联。")


def _identity(kind: str, number: str) -> values_pb2.PersonIdentity:
    """A person by a number. Raises OneCardError IDENTITY_INVALID, without the number."""
    normalised = normalise_identity(kind, number).partition("|")[2]
    return person_of(Cardholder(subject="", kind=kind, number=normalised))


def _call(config: Path, gateway: str, request: Callable[[CardFeedServiceStub], Awaitable[Any]]) -> Any:
    return call_hub(checked_settings(config), gateway, lambda channel: request(CardFeedServiceStub(channel)))
