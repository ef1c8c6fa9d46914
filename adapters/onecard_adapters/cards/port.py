"""Between the runtime of cards and the dialects of card offices and banks.

A dialect implements `CardOffice` and calls `CardDesk`. It translates; it knows no version, no signature, no stream.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from onecard.card.v1 import change_pb2, replacement_pb2, status_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_protocol.errors import OneCardError


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LocalCard:
    """A card as a card office's system shows it now, in national terms. Repeats of it are no harm: content decides."""

    person: exchange_values_pb2.PersonIdentity = dataclasses.field(repr=False)
    card: values_pb2.CardReference
    state: values_pb2.SocialState
    change: change_pb2.SocialChange
    """What happened, where the system tells; SOCIAL_CHANGE_UNSPECIFIED lets the runtime derive it from the states."""
    occurred_ms: int
    """When, by the local system."""
    local_status: exchange_values_pb2.CodedValue
    data: values_pb2.CardData = dataclasses.field(repr=False)
    holder: values_pb2.HolderDetails = dataclasses.field(repr=False)
    replaces: values_pb2.CardReference | None = None
    version: int | None = None
    """The local system's own version of the card, where it keeps one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LocalAccount:
    """A card's account as a bank's system shows it now, in national terms."""

    person: exchange_values_pb2.PersonIdentity = dataclasses.field(repr=False)
    card: values_pb2.CardReference
    state: values_pb2.FinancialState
    change: change_pb2.FinancialChange
    occurred_ms: int
    local_status: exchange_values_pb2.CodedValue
    bank_card_number: str = dataclasses.field(repr=False)
    version: int | None = None


Change = change_pb2.ReportSocialChangeRequest | change_pb2.ReportFinancialChangeRequest


class CardOffice(Protocol):
    """What a dialect does for the exchange in its local system. Everything may be asked twice."""

    async def carry_out(self, request: replacement_pb2.CarryOutStepRequest) -> replacement_pb2.CarryOutStepResponse:
        """Do or undo one step of a replacement; done before, it says so. Raises OneCardError with the local reason."""

    async def tell(self, change: Change) -> None:
        """Let the local system know of a published change of a card that it follows, if it keeps such copies."""

    async def find(self, card: values_pb2.CardReference) -> LocalCard | LocalAccount | None:
        """The card as the local system shows it now; None if it has none such."""


class RunningOffice(CardOffice, Protocol):
    """A card office with what it does by itself: polling a database, serving the local system's calls."""

    async def start(self) -> None:
        """Begin, once the exchange is entered. Raises CONFIGURATION_INVALID, such as for a port that is taken."""

    async def stop(self) -> None:
        """End; what is under way finishes first."""

    @property
    def address(self) -> str:
        """Where its local system reaches the adapter, or where the adapter reaches it; without a password."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ListedCard:
    """A card among all of a local system, or why it cannot be told."""

    where: str
    """The local system's own place of it, such as "card_status[17]"; no personal data."""
    card: LocalCard | OneCardError


class CardListing(Protocol):
    """All cards of a local system that can list them."""

    def pages(self) -> AsyncIterator[Sequence[ListedCard]]:
        """Every card once, page by page. Raises OneCardError where the local system cannot be asked."""

    async def close(self) -> None:
        """Disconnect."""


class NotTakenError(OneCardError):
    """HUB_NOT_READY: the registry cannot tell the versions of some cards now, so they are to be shown again."""

    def __init__(self, left: Sequence[LocalCard | LocalAccount]) -> None:
        """`left` are those; all others were taken."""
        super().__init__(errors_pb2.ERROR_REASON_HUB_NOT_READY, "the registry cannot tell the card's version now")
        self.left = left


class CardDesk(Protocol):
    """What the runtime does for a dialect."""

    async def observe(self, seen: Sequence[LocalCard | LocalAccount]) -> int:
        """Take what the local system shows; what changed gets its next version and goes out as a signed event.

        Version and event are written in one local transaction; returns how many changed. Durable when it returns.
        Raises NotTakenError, and what else the registry's answer raises.
        """

    async def unended(self, number: str) -> Sequence[change_pb2.ReportSocialChangeRequest]:
        """The participant's cards of a number that were told, or taken over, and have not ended, as they stood last."""

    async def verify(self, request: status_pb2.VerifyCardRequest) -> status_pb2.VerifyCardResponse:
        """Whether a card at a counter may be used. Raises OneCardError where the hub cannot be asked."""

    async def statuses(
        self, questions: Sequence[status_pb2.CardQuestion], *, purpose: str
    ) -> list[status_pb2.CardAnswer]:
        """What the registry knows, in the order asked, at most 500. Raises OneCardError."""

    async def confirm_benefit_account(self, request: replacement_pb2.ConfirmBenefitAccountRequest) -> None:
        """The agency changed the account that benefits are paid to; confirmed before, nothing happens.

        Raises OneCardError: what is retryable, and OUTCOME_UNKNOWN, may be confirmed again.
        """
