"""`onecard card ask-again`: what is stuck in a replacement is asked for again, by the hub's own signed request."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from onecard.card.v1 import replacement_pb2
from onecard.card.v1.replacement_pb2_grpc import CardReplacementServiceStub
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
from onecard_broker.commands.card_show import find_saga
from onecard_broker.domain.card_holding import person_of
from onecard_protocol.commands.usage import typed_id


def ask_again(
    config: ConfigOption,
    replacement_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the replacement, 32 hex digits.")],
    cause: Annotated[str, typer.Option(help="What was mended; no personal data.")],
    gateway: GatewayOption = "",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask for the stuck steps of a replacement again, when what held them up is mended."""
    wanted = typed_id(replacement_id, "card ask-again")
    cause = required("--cause", cause, "card ask-again")
    settings = checked_settings(config)
    holder, _ = find_saga(settings, wanted)
    request = replacement_pb2.AskAgainRequest(person=person_of(holder), replacement_id=replacement_id, cause=cause)
    confirm("Ask for the stuck steps again? / 重新发起受阻的步骤？", "card ask-again", is_sure=yes)
    response: replacement_pb2.AskAgainResponse = call_hub(
        settings, gateway, lambda channel: CardReplacementServiceStub(channel).AskAgain(request)
    )
    if as_json:
        print(json.dumps({"asked_count": response.asked_count}))
    else:
        print(f"{response.asked_count} steps are asked for again. / 已重新发起 {response.asked_count} 个步骤。")
