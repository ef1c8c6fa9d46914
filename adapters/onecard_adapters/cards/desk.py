"""The card desk over an exchange: versions, and the events that tell them.

What changed gets its next version, and the version with its event is one local transaction: no crash comes between.
Cards that the book does not know may have been told by a former store, so the hub's registry is asked for them first.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeVar

import grpc.aio

from onecard.card.v1 import change_pb2, replacement_pb2, status_pb2, values_pb2
from onecard.card.v1.replacement_pb2_grpc import CardReplacementServiceStub
from onecard.card.v1.status_pb2_grpc import CardStatusServiceStub
from onecard.exchange.v1 import errors_pb2
from onecard_adapters.cards import book, changes
from onecard_adapters.cards.book import BookEntry
from onecard_adapters.cards.copies import CardCopies
from onecard_adapters.cards.port import CardOffice, Change, LocalAccount, LocalCard, NotTakenError
from onecard_adapters.cards.registered import Registered, registered
from onecard_adapters.runtime.outbox import StoredOutgoing
from onecard_adapters.runtime.sealing import Sealer
from onecard_adapters.sdk.sending import Tell, Telling
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB
from onecard_protocol.limits import CARD_SEQUENCE_MAX

BATCH_COUNT_MAX: Final = 500
"""Cards of one transaction, and of one question to the registry."""
_BEHIND: Final = frozenset(
    {errors_pb2.ERROR_REASON_CARD_VERSION_BACKWARDS, errors_pb2.ERROR_REASON_CARD_VERSION_CONFLICT}
)
"""Reasons by which the registry says that it knows that version, or a newer one."""
_RECOVERY: Final = "version-recovery"
_READ_TIMEOUT_S: Final = 10.0

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class DeskExchange(Protocol):
    """As much of `Exchange` as the desk uses."""

    @property
    def participant(self) -> str:
        """Whose desk it is."""

    @property
    def sealer(self) -> Sealer:
        """Seals what the book keeps."""

    async def write(self, operation: Telling[_Result]) -> _Result:
        """See `Exchange.write`."""

    def to(self, recipient: str) -> grpc.aio.Channel:
        """See `Exchange.to`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A local view with what it is known by."""

    local: LocalCard | LocalAccount
    content: Change
    key: bytes
    digest: bytes


@dataclasses.dataclass(slots=True)
class _Taken:
    """What came of a batch."""

    changed_count: int = 0
    unknown: list[_Seen] = dataclasses.field(default_factory=list)


class ExchangeCardDesk:
    """The desk of one participant. Its exchange must be entered when it is used."""

    def __init__(self, exchange: DeskExchange) -> None:
        self._exchange = exchange
        self.copies = CardCopies(exchange.sealer, exchange.participant)
        """What is compared with the registry: own cards are written here, followed ones by who receives them."""
        # One observation at a time: views of a card are taken in the order in which they were seen.
        self._turn = asyncio.Lock()

    async def observe(self, seen: Sequence[LocalCard | LocalAccount]) -> int:
        """See `CardDesk`.

        Raises CARD_VERSION_CONFLICT where the local system's own version tells other content than before, and what the
        registry's answer raises: cards that are not known then were not taken, the others were.
        """
        changed_count, left = 0, []
        async with self._turn:
            for start in range(0, len(seen), BATCH_COUNT_MAX):
                batch = [self._seen(local) for local in seen[start : start + BATCH_COUNT_MAX]]
                taken = await self._observe(batch)
                changed_count += taken.changed_count
                left += [one.local for one in taken.unknown]
        if left:
            raise NotTakenError(left)
        return changed_count

    async def unended(self, number: str) -> list[change_pb2.ReportSocialChangeRequest]:
        """See `CardDesk`."""
        sealer, issuer, machine = self._exchange.sealer, self._exchange.participant, change_pb2.CARD_MACHINE_SOCIAL

        def read(connection: sqlite3.Connection, _: Tell) -> list[change_pb2.ReportSocialChangeRequest]:
            cards = (
                values_pb2.CardReference(issuer=issuer, number=number, sequence=sequence)
                for sequence in range(1, CARD_SEQUENCE_MAX + 1)
            )
            last = (book.find_last(connection, sealer, book.book_key(sealer, card, machine)) for card in cards)
            found = [change_pb2.ReportSocialChangeRequest.FromString(event) for event in last if event is not None]
            return [event for event in found if event.state not in changes.ENDED]

        return await self._exchange.write(read)

    async def verify(self, request: status_pb2.VerifyCardRequest) -> status_pb2.VerifyCardResponse:
        """See `CardDesk`."""
        response: status_pb2.VerifyCardResponse = await self._registry().VerifyCard(request, timeout=_READ_TIMEOUT_S)
        return response

    async def statuses(
        self, questions: Sequence[status_pb2.CardQuestion], *, purpose: str
    ) -> list[status_pb2.CardAnswer]:
        """See `CardDesk`."""
        response: status_pb2.BatchGetCardStatusResponse = await self._registry().BatchGetCardStatus(
            status_pb2.BatchGetCardStatusRequest(questions=questions, purpose=purpose), timeout=_READ_TIMEOUT_S
        )
        if len(response.answers) != len(questions):
            raise OneCardError(
                errors_pb2.ERROR_REASON_INTERNAL, f"{len(response.answers)} answers to {len(questions)} questions"
            )
        return list(response.answers)

    async def confirm_benefit_account(self, request: replacement_pb2.ConfirmBenefitAccountRequest) -> None:
        """See `CardDesk`."""
        await CardReplacementServiceStub(self._exchange.to(HUB)).ConfirmBenefitAccount(request)

    async def report_again(self, request: change_pb2.RequestVersionsRequest, office: CardOffice) -> bool:
        """Tell the newest version of a card again, in a new message.

        What the book does not hold is taken from the local system, and then goes out as a version of its own; a second
        time where versions are asked for, because only the newest repeated closes their gap. False if neither knows the
        card.
        """
        key = book.book_key(self._exchange.sealer, request.card, request.machine)

        def tell_again(connection: sqlite3.Connection, tell: Tell) -> bool:
            told = book.find_event(connection, self._exchange.sealer, key)
            if told is None:
                return False
            tell(changes.method_of(request.machine), HUB, changes.event_class(request.machine).FromString(told))
            return True

        if await self._exchange.write(tell_again):
            return True
        local = await office.find(request.card)
        if local is None or changes.machine_of(local) != request.machine:
            _log.error("the hub asks for versions of a card that neither the book nor the local system knows")
            return False
        await self.observe([local])
        await self._tell_anew(self._seen(local))
        if request.first_version:
            await self._exchange.write(tell_again)
        return True

    async def has_told(self, card: values_pb2.CardReference, machine: change_pb2.CardMachine) -> bool:
        """Whether a report of the card was made here; what was taken over from the registry needs none."""
        sealer = self._exchange.sealer
        key = book.book_key(sealer, card, machine)
        return await self._exchange.write(lambda connection, _: book.find_event(connection, sealer, key) is not None)

    async def start_over(
        self, card: values_pb2.CardReference, office: CardOffice, *, is_repeated: bool = False
    ) -> bool:
        """Go on from the registry's version of an own card or account, because the book went back behind it.

        With `is_repeated` it is told even where the registry's answer, which lacks name and account number, shows no
        difference. False where the local system does not know it, or counts its versions itself and is behind too.
        Raises what the registry's answer raises.
        """
        local = await office.find(card)
        if local is None:
            return False
        seen = self._seen(local)
        async with self._turn:
            known = await self._registered([seen])
            if not known:
                raise NotTakenError([local])
            if is_repeated and local.version is None:
                known = {key: dataclasses.replace(one, is_equal=False) for key, one in known.items()}

            def write(connection: sqlite3.Connection, tell: Tell) -> bool:
                book.remove(connection, seen.key)
                self._take(connection, tell, [seen], known)
                return book.find(connection, seen.key) is not None

            return await self._exchange.write(write)

    async def make_good(self, refused: StoredOutgoing, office: CardOffice) -> bool:
        """Go on from the registry's version where it refused a report because the book is behind, as after a backup.

        False also for a report under a former number of the holder: the registry's version under the new one says
        nothing of it.
        """
        outgoing = refused.outgoing
        if outgoing.method not in changes.REPORTS or refused.reason not in _BEHIND:
            return False
        report = changes.event_class(changes.REPORTS[outgoing.method]).FromString(outgoing.payload)
        local = await office.find(report.card)
        if local is None or not changes.is_of(report, local):
            return False
        return await self.start_over(report.card, office, is_repeated=True)

    async def _observe(self, batch: Sequence[_Seen]) -> _Taken:
        taken = await self._exchange.write(lambda connection, tell: self._take(connection, tell, batch, {}))
        if not taken.unknown:
            return taken
        known = await self._registered(taken.unknown)
        more = await self._exchange.write(lambda connection, tell: self._take(connection, tell, taken.unknown, known))
        return _Taken(changed_count=taken.changed_count + more.changed_count, unknown=more.unknown)

    def _take(
        self,
        connection: sqlite3.Connection,
        tell: Tell,
        batch: Sequence[_Seen],
        known: Mapping[bytes, Registered],
    ) -> _Taken:
        """Take what the book, or the registry's answers by key, know before; what neither knows is left."""
        taken = _Taken()
        for seen in batch:
            entry = book.find(connection, seen.key)
            if entry is None:
                before = known.get(seen.key)
                if before is None:
                    taken.unknown.append(seen)
                    continue
                entry = BookEntry(version=before.version, state=before.state, digest=b"")
                if before.version and before.is_equal:
                    self._put(connection, seen, entry.version, entry.state, is_told=False)
                    continue
            if _next_version(entry, seen) is not None:
                self._tell(connection, tell, seen, entry)
                taken.changed_count += 1
        return taken

    def _tell(self, connection: sqlite3.Connection, tell: Tell, seen: _Seen, entry: BookEntry) -> None:
        """Tell what is seen after what the book has."""
        last = book.find_last(connection, self._exchange.sealer, seen.key)
        before = changes.event_class(changes.machine_of(seen.local)).FromString(last) if last else None
        locked = changes.locked_for_former(seen.local, before, version=entry.version + 1)
        if locked is not None:
            tell(changes.REPORT_SOCIAL, HUB, locked)
            counted = locked.version if seen.local.version is None else entry.version
            entry = dataclasses.replace(entry, version=counted, state=locked.state)
        version = _next_version(entry, seen) or entry.version + 1
        event = self._put(connection, seen, version, entry.state, before)
        tell(changes.method_of(changes.machine_of(seen.local)), HUB, event)

    def _put(
        self,
        connection: sqlite3.Connection,
        seen: _Seen,
        version: int,
        old_state: int,
        before: Change | None = None,
        *,
        is_told: bool = True,
    ) -> Change:
        """Write what is seen as a version, into the book and the copies; returns the event that tells it."""
        event = changes.event_of(seen.local, seen.content, version=version, old_state=old_state, before=before)
        entry = BookEntry(version=version, state=seen.local.state, digest=seen.digest)
        serialised = event.SerializeToString(deterministic=True)
        book.put(connection, self._exchange.sealer, seen.key, entry, serialised, is_told=is_told)
        self._copy(connection, event)
        return event

    def _copy(self, connection: sqlite3.Connection, event: Change) -> None:
        # A bank is not compared with the registry: it keeps the book of its accounts only.
        if isinstance(event, change_pb2.ReportSocialChangeRequest):
            self.copies.take(connection, event)

    async def _tell_anew(self, seen: _Seen) -> None:
        """Give a version that was taken over from the registry, whose event nobody kept, a successor that is."""

        def write(connection: sqlite3.Connection, tell: Tell) -> None:
            entry = book.find(connection, seen.key)
            if entry is not None and book.find_event(connection, self._exchange.sealer, seen.key) is None:
                self._tell(connection, tell, seen, entry)

        await self._exchange.write(write)

    async def _registered(self, unknown: Sequence[_Seen]) -> dict[bytes, Registered]:
        """What the registry can tell of now, by key."""
        first_of = {seen.key: seen for seen in reversed(unknown)}
        questions = [
            status_pb2.CardQuestion(person=seen.local.person, card=seen.local.card) for seen in first_of.values()
        ]
        answers = await self.statuses(questions, purpose=_RECOVERY)
        return {
            key: registered(seen.local, answer.cards)
            for (key, seen), answer in zip(first_of.items(), answers, strict=True)
            if answer.freshness == status_pb2.FRESHNESS_FRESH
        }

    def _seen(self, local: LocalCard | LocalAccount) -> _Seen:
        sealer, content = self._exchange.sealer, changes.content_of(local)
        return _Seen(
            local=local,
            content=content,
            key=book.book_key(sealer, local.card, changes.machine_of(local)),
            digest=book.content_digest(sealer, content.SerializeToString(deterministic=True)),
        )

    def _registry(self) -> CardStatusServiceStub:
        return CardStatusServiceStub(self._exchange.to(HUB))


def _next_version(entry: BookEntry, seen: _Seen) -> int | None:
    """The version that a local view is told with; None if there is nothing to tell."""
    own = seen.local.version
    if seen.digest == entry.digest or (own is not None and own < entry.version):
        return None
    if own is None:
        return entry.version + changes.steps_between(seen.local, entry.state)
    if own == entry.version:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CARD_VERSION_CONFLICT,
            f"the local system shows version {own} of a card with other content than before",
        )
    return own
