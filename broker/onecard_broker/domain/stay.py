"""An encounter while one decision changes it: puts transactions in, and does what follows from their state.

Owns the consequences that hold whatever moved a transaction: outcomes told to those who wait, the state of what is
known of its request, the hub's queries, and the settlement that a cancellation concerns. The rules that move
transactions are in ``settlements`` and ``findings``.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.medical.v1 import settlement_pb2, values_pb2
from onecard_broker.domain.medical_state import (
    QUERIES_REMEMBERED_COUNT_MAX,
    Asking,
    Encounter,
    Reversal,
    Transaction,
    decode_encounter,
    encode_encounter,
    encounter_key,
)
from onecard_broker.domain.model import (
    CancelTimer,
    KnownMessage,
    KnownState,
    MessageKey,
    SetTimer,
    Timer,
    TimerPurpose,
    timer_id,
)
from onecard_broker.domain.ruling import Ruling
from onecard_broker.domain.settlement_states import (
    BEING_REVERSED,
    NOTHING_DONE,
    UNDONE_PHASES,
    Kind,
    Phase,
    Trigger,
    next_phase,
)
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB, id_from_text, id_text
from onecard_protocol.messages import timestamp

SETTLE: Final = "/onecard.medical.v1.SettlementService/Settle"
CANCEL: Final = "/onecard.medical.v1.SettlementService/CancelSettlement"
REVERSE: Final = "/onecard.medical.v1.SettlementService/Reverse"
QUERY: Final = "/onecard.medical.v1.SettlementService/QuerySettlement"

METHOD_OF: Final = {Kind.SETTLEMENT: SETTLE, Kind.CANCELLATION: CANCEL}
KIND_OF: Final = {method: kind for kind, method in METHOD_OF.items()}

_KNOWN_STATES: Final = {
    Phase.OPEN: KnownState.OPEN,
    Phase.UNKNOWN: KnownState.UNKNOWN,
    Phase.MANUAL: KnownState.MANUAL,
    Phase.REVERSING: KnownState.REVERSING,
    Phase.REVERSAL_MANUAL: KnownState.MANUAL,
}
_DELAYS_MS: Final = (*limits.QUERY_DELAYS_MS, limits.QUERY_DELAYS_MS[-1] + limits.UNKNOWN_TIMER_MS)
"""When the hub asks, from the beginning of the doubt, and at the end when it gives up asking."""


def advanced(transaction: Transaction, trigger: Trigger) -> Transaction:
    """The transaction moved by a trigger that the table allows; raises ValueError for one that it does not."""
    target = next_phase(transaction.kind, transaction.phase, trigger)
    if target is None:
        raise ValueError(f"a {transaction.kind} that is {transaction.phase} cannot be moved by '{trigger}'")
    if target is Phase.BEFORE:
        if transaction.before is None:
            raise ValueError("a reversal without the state before it")
        return dataclasses.replace(transaction, phase=transaction.before, before=None)
    if target not in BEING_REVERSED:
        return dataclasses.replace(transaction, phase=target, before=None)
    before = transaction.before if transaction.phase in BEING_REVERSED else transaction.phase
    return dataclasses.replace(transaction, phase=target, before=before)


def learnt(transaction: Transaction, trigger: Trigger) -> Transaction:
    """While a reversal has no outcome: what is learnt of the original moves the state before, if the table allows."""
    before = transaction.before
    moved = None if before is None else next_phase(transaction.kind, before, trigger)
    return transaction if moved is None else dataclasses.replace(transaction, before=moved)


def reversal_response(transaction: Transaction) -> settlement_pb2.ReverseResponse:
    """What a reversal of a transaction that is undone, or was never done, is answered."""
    is_reversed = transaction.phase is Phase.REVERSED
    response = settlement_pb2.ReverseResponse(
        result=settlement_pb2.REVERSAL_RESULT_REVERSED
        if is_reversed
        else settlement_pb2.REVERSAL_RESULT_NEVER_EXECUTED,
        original_id=id_text(transaction.id),
    )
    if transaction.undone_ms:
        response.reversed_time.CopyFrom(timestamp(transaction.undone_ms))
    return response


class Stay:
    """An encounter and the ruling that changes it."""

    def __init__(self, ruling: Ruling, encounter: Encounter) -> None:
        self.ruling = ruling
        self.encounter = encounter
        self._loaded = encounter

    @classmethod
    def named(cls, ruling: Ruling, reference: values_pb2.EncounterReference) -> Stay | None:
        """The encounter that a request names; None unless it is this person's, these participants' and alive."""
        encounter_id = id_from_text(reference.encounter_id)
        data = None if encounter_id is None else ruling.state.aggregates.get(encounter_key(encounter_id))
        if data is None:
            return None
        encounter = decode_encounter(data)
        header = ruling.message.header
        is_named = (
            encounter.subject == ruling.inbound.subject
            and (encounter.care, encounter.insured) == (header.sender, header.recipient)
            and reference.institution_code in {"", encounter.institution_code}
            and reference.visit_id in {"", encounter.visit_id}
            and not encounter.is_failed
        )
        return cls(ruling, encounter) if is_named else None

    @classmethod
    def of_known(cls, ruling: Ruling, request: KnownMessage) -> Stay:
        """The encounter of a request that was sent on; raises KeyError where its state is gone."""
        return cls(ruling, decode_encounter(ruling.state.aggregates[request.aggregates[0]]))

    def save(self) -> None:
        """Write the encounter if it changed."""
        if self.encounter is not self._loaded:
            pruned = self.encounter.pruned(self.ruling.now_ms)
            self.ruling.save(encounter_key(pruned.id), encode_encounter(pruned))
            self._loaded = self.encounter

    def find(self, request: KnownMessage) -> Transaction | None:
        """The transaction that a request began, or that an open reversal or query of the key concerns."""
        for transaction in self.encounter.transactions:
            is_original = request.method == METHOD_OF[transaction.kind] and transaction.id == request.id
            is_reversal = any(reversal.key == request.key for reversal in transaction.reversals)
            if is_original or is_reversal or request.key in transaction.queries:
                return transaction
        return None

    # ---- what follows from a state ---------------------------------------------------------------------------------

    def put(self, transaction: Transaction) -> Transaction:
        """Take a transaction as changed and do what follows; returns it as it then is."""
        before = self.encounter.find(transaction.id)
        if transaction.phase not in {Phase.UNKNOWN, Phase.REVERSING}:
            transaction = self.stop_asking(transaction)
        if transaction.phase in UNDONE_PHASES:
            transaction = self._conclude(transaction)
        if before is not None and before.phase is not transaction.phase and before.phase is not Phase.ABSENT:
            self._remember_open(transaction)
        if transaction.phase is Phase.ABSENT and not transaction.queries:
            self.encounter = self.encounter.without(transaction.id)
        else:
            self.encounter = self.encounter.with_transaction(transaction)
        if transaction.cancels and (before is None or before.phase is not transaction.phase):
            self._follow_cancellation(transaction)
        return transaction

    def _conclude(self, transaction: Transaction) -> Transaction:
        """Tell everybody who still waits: the original's requester, and the requesters of its reversals."""
        if transaction.digest and transaction.answer is None:
            is_reversed = transaction.phase is Phase.REVERSED
            error = OneCardError(
                errors_pb2.ERROR_REASON_REVERSED if is_reversed else errors_pb2.ERROR_REASON_NEVER_EXECUTED
            )
            original = self.original(transaction, KnownState.OPEN)
            answer = self.ruling.reject(original, error)
            self.ruling.conclude(original, answer)
            transaction = dataclasses.replace(transaction, answer=answer)
        for reversal in transaction.reversals:
            request = self.reversal(reversal, KnownState.OPEN)
            answer = self.ruling.tell(
                request, message_pb2.MESSAGE_KIND_REPLY, reversal_response(transaction), answers=request.key
            )
            self.ruling.conclude(request, answer)
        return dataclasses.replace(transaction, reversals=())

    def _remember_open(self, transaction: Transaction) -> None:
        """Keep what is known of a request without an outcome in step with its transaction."""
        state = _KNOWN_STATES.get(transaction.phase)
        if state is None:
            return
        if transaction.digest and transaction.answer is None:
            self.ruling.remember(self.original(transaction, state))
        if state is KnownState.MANUAL:
            for reversal in transaction.reversals:
                self.ruling.remember(self.reversal(reversal, state))

    def _follow_cancellation(self, cancellation: Transaction) -> None:
        """The settlement is cancelling while its cancellation is in doubt, voided while it stands, or stands again."""
        settlement = self.encounter.find(cancellation.cancels)
        if settlement is None:
            return
        if cancellation.phase is Phase.STANDING:
            target, trigger = Phase.VOIDED, Trigger.CANCELLATION_STANDS
        elif cancellation.phase in NOTHING_DONE:
            target, trigger = Phase.STANDING, Trigger.CANCELLATION_GONE
        else:
            target, trigger = Phase.CANCELLING, Trigger.CANCELLATION_REQUESTED
        if settlement.phase is not target:
            self.encounter = self.encounter.with_transaction(advanced(settlement, trigger))

    def original(self, transaction: Transaction, state: KnownState) -> KnownMessage:
        """A transaction's request as it is known."""
        return KnownMessage(
            sender=self.encounter.care,
            id=transaction.id,
            digest=transaction.digest,
            recipient=self.encounter.insured,
            method=METHOD_OF[transaction.kind],
            subject=self.encounter.subject,
            state=state,
            answer=transaction.answer,
            aggregates=(encounter_key(self.encounter.id),),
        )

    def reversal(self, reversal: Reversal, state: KnownState) -> KnownMessage:
        """A reversal's request as it is known."""
        sender, reversal_id = reversal.key
        return KnownMessage(
            sender=sender,
            id=reversal_id,
            digest=reversal.digest,
            recipient=self.encounter.insured,
            method=REVERSE,
            subject=self.encounter.subject,
            state=state,
            aggregates=(encounter_key(self.encounter.id),),
        )

    # ---- the hub's queries -----------------------------------------------------------------------------------------

    def start_asking(self, transaction: Transaction, cause: MessageKey) -> Transaction:
        """Ask at once, and set the timer for the next time."""
        transaction = self.stop_asking(transaction)
        asking = Asking(cause=cause, first=transaction.asked_count)
        return self._ask(dataclasses.replace(transaction, asking=asking), asking, 0, self.ruling.now_ms)

    def go_on_asking(self, transaction: Transaction, timer: Timer) -> Transaction | None:
        """Ask again by a timer that is due; None when this was the last time and the answer has had its time too.

        A timer of a series that has ended changes nothing: the transaction comes back as it was.
        """
        asking = transaction.asking
        if asking is None or asking.cause != timer.request or timer.attempt != transaction.asked_count:
            return transaction
        index = timer.attempt - asking.first
        if index == len(limits.QUERY_DELAYS_MS):
            return None
        return self._ask(transaction, asking, index, timer.due_ms - _DELAYS_MS[index])

    def stop_asking(self, transaction: Transaction) -> Transaction:
        """Cancel the timer of the next query."""
        if transaction.asking is None:
            return transaction
        cause = transaction.asking.cause
        self.ruling.effects.append(CancelTimer(id=timer_id(TimerPurpose.QUERY, cause, transaction.asked_count)))
        return dataclasses.replace(transaction, asking=None)

    def _ask(self, transaction: Transaction, asking: Asking, index: int, began_ms: int) -> Transaction:
        query = self.ruling.say(self.encounter.insured, QUERY, message_pb2.MESSAGE_KIND_REQUEST, transaction.question)
        # The digest is the header's, which the worker makes from the effect before this one; it fills it in.
        self.ruling.remember(
            KnownMessage(
                sender=HUB,
                id=query[1],
                digest=b"",
                recipient=self.encounter.insured,
                method=QUERY,
                subject=self.encounter.subject,
                state=KnownState.OPEN,
                aggregates=(encounter_key(self.encounter.id),),
            )
        )
        attempt = asking.first + index + 1
        self.ruling.effects.append(
            SetTimer(
                timer=Timer(
                    id=timer_id(TimerPurpose.QUERY, asking.cause, attempt),
                    due_ms=max(self.ruling.now_ms, began_ms + _DELAYS_MS[index + 1]),
                    purpose=TimerPurpose.QUERY,
                    request=asking.cause,
                    attempt=attempt,
                )
            )
        )
        return dataclasses.replace(
            transaction,
            queries=(*transaction.queries, query)[-QUERIES_REMEMBERED_COUNT_MAX:],
            asked_count=attempt,
        )
