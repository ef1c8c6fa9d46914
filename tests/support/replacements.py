"""A replacement under way at the hub's rules, and the words by which tests move it on."""

from __future__ import annotations

from onecard.card.v1 import replacement_pb2
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_protocol.identifiers import id_text
from onecard_protocol.messages import Message
from tests.support.holders import (
    NEW,
    OLD,
    Registry,
    SyntheticHolder,
    refusals,
    step_name,
)

HOLDER = SyntheticHolder()
FINAL = message_pb2.Rejection(reason=errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM)
AGAIN = message_pb2.Rejection(reason=errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN)
ALREADY = message_pb2.Rejection(reason=errors_pb2.ERROR_REASON_CARD_ALREADY)
DOUBT = message_pb2.Rejection(reason=errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN)
REPORT = message_pb2.DeliveryReport(reason=errors_pb2.ERROR_REASON_PROCESSING_FAILED)
ORDER = [
    "OLD_SUPERSEDED",
    "ELECTRONIC_CARD_REBOUND",
    "BENEFIT_ACCOUNT_CHANGED",
    "CREDENTIAL_FOLLOWED",
    "MEDICAL_ACCOUNT_MOVED",
]


def begun() -> Registry:
    """A new card was enabled in an old one's place."""
    registry = Registry()
    registry.tell(HOLDER.social("ENABLED", 1))
    registry.tell(HOLDER.social("PRODUCED", 1, card=NEW, replaces=OLD))
    registry.tell(HOLDER.social("ENABLED", 2, card=NEW, replaces=OLD))
    return registry


def newest(registry: Registry, name: str) -> Message:
    """The last request for this step."""
    return [message for message in registry.steps_asked() if step_name(message) == name][-1]


def phases(registry: Registry) -> dict[str, str]:
    """Of each step, by its name."""
    return {
        replacement_pb2.ReplacementStep.Name(step.step).removeprefix("REPLACEMENT_STEP_"): step.phase
        for step in registry.replacement().steps
    }


def reply_all(registry: Registry) -> None:
    """Answer whatever is asked, as long as anything is."""
    for index in range(32):
        asked = registry.steps_asked()
        if index >= len(asked):
            return
        registry.reply(asked[index])


def confirm(registry: Registry, **words: str) -> list[str]:
    """The agency confirms the benefit account; why that is refused."""
    return refusals(registry.tell(HOLDER.confirm(id_text(registry.replacement().id), **words)))


def ask_again(registry: Registry, cause: str) -> int:
    """How many steps are asked for again by an operator's word."""
    told = registry.tell(HOLDER.ask_again(id_text(registry.replacement().id), cause))
    (answer,) = [one for one in told if one.message.header.kind == message_pb2.MESSAGE_KIND_REPLY]
    return replacement_pb2.AskAgainResponse.FromString(answer.message.payload).asked_count


def cancel(registry: Registry, version: int = 3) -> None:
    """The new card is cancelled."""
    assert refusals(registry.tell(HOLDER.social("CANCELLED", version, card=NEW, replaces=OLD))) == []
