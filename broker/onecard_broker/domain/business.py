"""What the exchange asks a business module: a module decides on its own state and knows no other business."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from onecard_broker.domain.model import AggregateKey, Inbound, KnownMessage, MessageKey, Needs, Timer
from onecard_broker.domain.ruling import Ruling
from onecard_protocol.errors import OneCardError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The request goes on to its recipient; its answer and timers concern these states."""

    aggregates: tuple[AggregateKey, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The hub refuses the request; it is not sent on."""

    error: OneCardError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The hub answered the request itself, from its state; it is not sent on."""

    answer: MessageKey


Verdict = Accepted | Refused | Answered


class Business(Protocol):
    """The rules of one proto package that keeps state at the hub. Effects go into the ruling."""

    def names(self, inbound: Inbound) -> Needs:
        """What the payload of a request, of an event to the hub, or of a question about one names.

        States, and messages such as the original of a reversal.
        """

    def stands_under(self, ruling: Ruling) -> str:
        """Pseudonym of the number that the person's matters stand under, if another than the record's (rule 4).

        Asked about requests, events to the hub and questions that come for the first time; they are then forwarded
        there, undecided. Empty where they are decided here.
        """

    def judge(self, ruling: Ruling) -> Verdict:
        """Decide about a request that came for the first time and in time."""

    def take_event(self, ruling: Ruling) -> MessageKey | None:
        """Take an event that is addressed to the hub and came for the first time.

        Passes it on to whom it concerns. Returns the key of the rejection that it got, if it was refused.
        """

    def take_answer(self, ruling: Ruling, request: KnownMessage) -> MessageKey | None:
        """Take a reply or a definite rejection by the request's recipient.

        Also called for one that comes after the hub itself told the outcome, or after the request became unknown.
        Returns the key of the rejection that the answer got, if it was refused.
        """

    def doubt(self, ruling: Ruling, request: KnownMessage) -> None:
        """The answer is overdue, or the recipient reported that it cannot tell the outcome."""

    def goes_ahead(self, inbound: Inbound, stuck: MessageKey) -> bool:
        """Whether a request or event need not wait behind a dead letter of its person (rule 13).

        True for a query or reversal of the very message that is stuck. A business whose events carry a version names
        those here too: a newer state supersedes the older one, so their order does no harm.
        """

    def discard(self, ruling: Ruling, request: KnownMessage) -> None:
        """An operator discarded a request without an outcome that its recipient gave up on.

        Its sender is told the final rejection, except where the business itself still asks for the outcome.
        """

    def ask_again(self, ruling: Ruling, request: KnownMessage, timer: Timer) -> None:
        """A timer of purpose QUERY is due."""

    def wake(self, ruling: Ruling, timer: Timer) -> None:
        """A timer of purpose STATE is due; its aggregate is loaded."""
