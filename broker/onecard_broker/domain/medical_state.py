"""What the hub keeps of a stay: the encounter with its settlements and cancellations, as JSON with a version.

Owns form and invariants of the business state; the rules that change it are in ``settlements`` and ``medical``.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from onecard_broker.domain.model import AggregateKey, MessageKey
from onecard_broker.domain.settlement_states import BEING_REVERSED, NOTHING_DONE, Kind, Phase
from onecard_protocol import limits
from onecard_protocol.identifiers import message_time_ms

STATE_VERSION: Final = 1
QUERIES_REMEMBERED_COUNT_MAX: Final = 16
EVIDENCE_COUNT_MAX: Final = 16

Period = tuple[str, str]
"""First and last day, ISO 8601, both inclusive."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """A reversal without an outcome."""

    key: MessageKey
    digest: bytes
    is_doubted: bool = False
    """Its answer is overdue; the requester was told."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The hub's series of queries about a transaction."""

    cause: MessageKey
    """The request, original or reversal, whose doubt began it."""
    first: int
    """Number of the series' first timer, less one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A settlement or a cancellation as the hub knows it, known by the message id of its request."""

    id: bytes
    kind: Kind
    phase: Phase
    question: bytes
    """QuerySettlementRequest by which the insured province is asked about it; holds the person."""
    digest: bytes = b""
    """Digest of its request; empty while the hub has not seen it."""
    before: Phase | None = None
    """While a reversal has no outcome: the state that a refusal of it returns to."""
    answer: MessageKey | None = None
    """The message that told the requester its outcome."""
    period: Period | None = None
    """Days of an interim settlement; None in the final one."""
    cancels: bytes = b""
    """Id of the settlement that a cancellation cancels."""
    fees_total_fen: int | None = None
    """Fees that a settlement asked about."""
    settlement_id: str = ""
    """Id given by the insured province."""
    amounts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """The split as computed by the insured province, by field of SettlementSplit."""
    undone_ms: int = 0
    """When it was undone, as told."""
    reversals: tuple[Reversal, ...] = ()
    """Reversals without an outcome."""
    queries: tuple[MessageKey, ...] = ()
    """Queries about it without an answer, the hub's own included."""
    asking: Asking | None = None
    asked_count: int = 0
    """Timers of queries set so far; the newest is the one that counts."""
    evidence: tuple[MessageKey, ...] = ()
    """Signed answers that say something about it and moved nothing, or moved it from a query."""

    @property
    def occupies(self) -> bool:
        """Whether it keeps others from settling the same days: it stands, or may."""
        phase = self.before if self.phase in BEING_REVERSED and self.before is not None else self.phase
        return phase not in NOTHING_DONE and phase is not Phase.VOIDED


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Encounter:
    """A visit or stay between the province of care and the insured province."""

    id: bytes
    subject: str
    care: str
    """Participant that registered it."""
    insured: str
    """Participant that it was registered with."""
    institution_code: str
    visit_id: str
    is_failed: bool = False
    """The registration was refused or not executed."""
    transactions: tuple[Transaction, ...] = ()

    def find(self, transaction_id: bytes) -> Transaction | None:
        """The transaction of a request's message id."""
        return next((transaction for transaction in self.transactions if transaction.id == transaction_id), None)

    def find_settlement(self, settlement_id: str) -> Transaction | None:
        """The transaction that the insured province gave an id to."""
        return next((found for found in self.transactions if found.settlement_id == settlement_id), None)

    def with_transaction(self, transaction: Transaction) -> Encounter:
        """The encounter with a transaction added or replaced."""
        if self.find(transaction.id) is None:
            return dataclasses.replace(self, transactions=(*self.transactions, transaction))
        replaced = (transaction if known.id == transaction.id else known for known in self.transactions)
        return dataclasses.replace(self, transactions=tuple(replaced))

    def without(self, transaction_id: bytes) -> Encounter:
        """The encounter without a transaction."""
        return dataclasses.replace(
            self, transactions=tuple(known for known in self.transactions if known.id != transaction_id)
        )

    def pruned(self, now_ms: int) -> Encounter:
        """Without the tombstones and failures that no message can reach any more: older than a message may be."""
        kept = tuple(
            known
            for known in self.transactions
            if known.phase not in {Phase.FAILED, Phase.NEVER_EXECUTED}
            or now_ms - message_time_ms(known.id) <= limits.MESSAGE_AGE_MS_MAX + limits.UNKNOWN_TIMER_MS
        )
        return self if len(kept) == len(self.transactions) else dataclasses.replace(self, transactions=kept)

    def conflicting(self, period: Period | None, besides: bytes) -> Transaction | None:
        """A settlement that excludes another one of the period (None: the final one)."""
        for known in self.transactions:
            if known.kind is Kind.SETTLEMENT and known.id != besides and known.occupies and _excludes(known, period):
                return known
        return None


def _excludes(known: Transaction, period: Period | None) -> bool:
    """One final settlement; none after it; interim ones of days that are not settled."""
    if known.period is None:
        return True
    return period is not None and known.period[0] <= period[1] and period[0] <= known.period[1]


def encounter_key(encounter_id: bytes) -> AggregateKey:
    """Key of an encounter's state."""
    return AggregateKey(f"medical/encounter/{encounter_id.hex()}")


def visit_key(subject: str, institution_code: str, visit_id: str) -> AggregateKey:
    """Key of the encounter that a person's visit is registered under."""
    return AggregateKey(f"medical/visit/{subject}/{institution_code}/{visit_id}")


# ---- bytes ---------------------------------------------------------------------------------------------------------


def encode_encounter(encounter: Encounter) -> bytes:
    """An encounter as bytes; equal encounters give equal bytes."""
    value: dict[str, Any] = {
        "version": STATE_VERSION,
        "id": encounter.id.hex(),
        "subject": encounter.subject,
        "care": encounter.care,
        "insured": encounter.insured,
        "institution": encounter.institution_code,
        "visit": encounter.visit_id,
        "transactions": [_transaction_value(transaction) for transaction in encounter.transactions],
    }
    if encounter.is_failed:
        value["failed"] = True
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def decode_encounter(data: bytes) -> Encounter:
    """The encounter of `encode_encounter`; raises ValueError for a version that this release does not know."""
    value = json.loads(data)
    if value["version"] != STATE_VERSION:
        raise ValueError(f"an encounter of version {value['version']}; this release knows {STATE_VERSION}")
    return Encounter(
        id=bytes.fromhex(value["id"]),
        subject=value["subject"],
        care=value["care"],
        insured=value["insured"],
        institution_code=value["institution"],
        visit_id=value["visit"],
        is_failed=value.get("failed", False),
        transactions=tuple(_transaction(item) for item in value["transactions"]),
    )


def _transaction_value(transaction: Transaction) -> dict[str, Any]:
    """Only what differs from the default."""
    optional: dict[str, Any] = {
        "digest": transaction.digest.hex(),
        "before": transaction.before,
        "answer": None if transaction.answer is None else _key_text(transaction.answer),
        "period": transaction.period,
        "cancels": transaction.cancels.hex(),
        "settlement": transaction.settlement_id,
        "amounts": dict(transaction.amounts),
        "undone_ms": transaction.undone_ms,
        "reversals": [
            [_key_text(reversal.key), reversal.digest.hex(), int(reversal.is_doubted)]
            for reversal in transaction.reversals
        ],
        "queries": [_key_text(key) for key in transaction.queries],
        "asking": None
        if transaction.asking is None
        else [_key_text(transaction.asking.cause), transaction.asking.first],
        "asked": transaction.asked_count,
        "evidence": [_key_text(key) for key in transaction.evidence],
    }
    value = {
        "id": transaction.id.hex(),
        "kind": transaction.kind,
        "phase": transaction.phase,
        "question": base64.b64encode(transaction.question).decode(),
        **{name: item for name, item in optional.items() if item},
    }
    if transaction.fees_total_fen is not None:
        value["fees_fen"] = transaction.fees_total_fen
    return value


def _transaction(value: Mapping[str, Any]) -> Transaction:
    before, answer, period, asking = (value.get(name) for name in ("before", "answer", "period", "asking"))
    return Transaction(
        id=bytes.fromhex(value["id"]),
        kind=Kind(value["kind"]),
        phase=Phase(value["phase"]),
        question=base64.b64decode(value["question"]),
        digest=bytes.fromhex(value.get("digest", "")),
        before=None if before is None else Phase(before),
        answer=None if answer is None else _key(answer),
        period=None if period is None else (period[0], period[1]),
        cancels=bytes.fromhex(value.get("cancels", "")),
        fees_total_fen=value.get("fees_fen"),
        settlement_id=value.get("settlement", ""),
        amounts=value.get("amounts", {}),
        undone_ms=value.get("undone_ms", 0),
        reversals=tuple(
            Reversal(key=_key(key), digest=bytes.fromhex(digest), is_doubted=bool(is_doubted))
            for key, digest, is_doubted in value.get("reversals", ())
        ),
        queries=tuple(_key(key) for key in value.get("queries", ())),
        asking=None if asking is None else Asking(cause=_key(asking[0]), first=asking[1]),
        asked_count=value.get("asked", 0),
        evidence=tuple(_key(key) for key in value.get("evidence", ())),
    )


def _key_text(key: MessageKey) -> str:
    return f"{key[0]}:{key[1].hex()}"


def _key(text: str) -> MessageKey:
    sender, _, digits = text.partition(":")
    return sender, bytes.fromhex(digits)
