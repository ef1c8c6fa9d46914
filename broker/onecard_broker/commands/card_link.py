"""`onecard card link` and `unlink`: two numbers are one person, by the hub's own signed request through its gateway.

Numbers come from the terminal, unseen, or from standard input, a line each; never from the command line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from onecard.card.v1 import feed_pb2
from onecard.card.v1.feed_pb2_grpc import CardFeedServiceStub
from onecard.exchange.v1 import errors_pb2, values_pb2
from onecard_broker.commands.card_calls import ConfigOption, GatewayOption, JsonOption, open_calls, open_database
from onecard_broker.commands.card_show import read_number
from onecard_broker.directory.store import DirectoryStore
from onecard_broker.domain.card_holding import person_of
from onecard_broker.domain.card_state import Cardholder
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.identity import normalise_identity

KindOption = Annotated[str, typer.Option(help="Certificate type of the old number, as GA/T 517 codes it.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before the request is signed.")]


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
        document=_required("--document", document),
    )
    _ask("Link these numbers? / 关联这两个证件号码？", is_sure=yes)
    response: feed_pb2.LinkNumberResponse = _call(_settings(config), gateway, lambda stub: stub.LinkNumber(request))
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
        person=_identity(kind, read_number("Old number / 原证件号码: ")), cause=_required("--cause", cause)
    )
    _ask("Take the link back? / 解除关联？", is_sure=yes)
    _call(_settings(config), gateway, lambda stub: stub.UnlinkNumber(request))
    if as_json:
        print(json.dumps({}))
    else:
        print("The number stands for itself again. / 已解除关联。")


def _identity(kind: str, number: str) -> values_pb2.PersonIdentity:
    """A person by a number. Raises OneCardError IDENTITY_INVALID, without the number."""
    normalised = normalise_identity(kind, number).partition("|")[2]
    return person_of(Cardholder(subject="", kind=kind, number=normalised))


def _required(option: str, text: str) -> str:
    """The text of an option that must say something. Raises OneCardError CONFIGURATION_INVALID."""
    if not text.strip():
        raise _invalid(f"{option} must not be empty / {option} 不得为空")
    return text.strip()


def _ask(question: str, *, is_sure: bool) -> None:
    """Ask before something is signed. Raises typer.Abort, or CONFIGURATION_INVALID where nobody can be asked."""
    if is_sure:
        return
    if not sys.stdin.isatty():
        raise _invalid("there is no terminal to ask at; give --yes / 没有终端可供确认，请加 --yes")
    if not typer.confirm(question):
        raise typer.Abort


def _settings(config: Path) -> HubSettings:
    """The hub's settings, with a database of this release."""
    settings = load_hub_settings(config)
    check(settings.database)
    return settings


def _call(settings: HubSettings, gateway: str, request: Callable[[CardFeedServiceStub], Awaitable[Any]]) -> Any:
    """The hub's own answer to its request. Raises OneCardError with the reason of a refusal."""

    async def run() -> Any:
        async with open_database(settings) as database:
            directory = await DirectoryStore(database).load()
            async with open_calls(settings, directory, gateway) as calls:
                return await request(CardFeedServiceStub(calls.to(HUB)))

    return asyncio.run(run())


def _invalid(detail: str) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, detail)
