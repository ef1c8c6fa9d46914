"""Reads of cards: status of one person or many, and whether a card at a counter may be used.

Answered from the cache. A person whose partition was not heard of for `limits.CARD_STALE_MS` gets no state told, and
neither does one whose primary number's partition was not, or of whom a report waits undecided. On the hot path: answers
are put together from bytes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from google.protobuf.message import Message as ProtoMessage
from google.protobuf.timestamp_pb2 import Timestamp

from onecard.card.v1 import status_pb2
from onecard.exchange.v1 import errors_pb2, values_pb2
from onecard_broker.admission.subject import Subjects
from onecard_broker.domain.card_state import CardKey, card_key
from onecard_broker.domain.card_verdicts import business_day, verdict_on
from onecard_broker.gateway.card_cache import CardCache
from onecard_broker.gateway.card_standings import Standing
from onecard_broker.gateway.decisions import Decisions
from onecard_broker.gateway.reads import ReadAnswer
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError
from onecard_protocol.identity import normalise_identity
from onecard_protocol.methods import Method

PACKAGE: Final = "onecard.card.v1"
_TERMINAL: Final = re.compile(r"[A-Za-z0-9._-]{0,32}")
_WRONG_TERMINAL: Final = "is not up to 32 letters, digits, dots and dashes, or may hold a personal or card number"
# A person is renumbered once or twice in a life; links whose rows are seen at different moments must end somewhere.
_LINK_COUNT_MAX: Final = 8
_PERSONAL_NUMBER: Final = re.compile(r"[0-9]{9}|[A-Za-z][0-9]{8}")
"""As long as a personal or bank card number, or like a social security card's."""
# The field of the answer in GetCardStatusResponse, and of the answers in BatchGetCardStatusResponse.
_ANSWER_TAG: Final = b"\x0a"

_Found = tuple[Standing | None, int]
"""A standing with the time up to which it is known; no standing where nothing can be said."""


class CardReads:
    """The reader of the package."""

    def __init__(
        self, cache: CardCache, decisions: Decisions, subjects: Subjects, *, clock_ms: Callable[[], int]
    ) -> None:
        """`cache` listens to `decisions`; `clock_ms` gives hub time."""
        self._cache = cache
        self._decisions = decisions
        self._subjects = subjects
        self._clock_ms = clock_ms

    async def read(self, method: Method, payload: ProtoMessage) -> ReadAnswer:
        """See `PackageReader`; what `domain.card_checks` asks holds. Raises PAYLOAD_INVALID and IDENTITY_INVALID."""
        del method  # Its payload tells which it is.
        match payload:
            case status_pb2.GetCardStatusRequest():
                return await self._statuses([payload.question], payload.purpose, "question")
            case status_pb2.BatchGetCardStatusRequest():
                return await self._statuses(payload.questions, payload.purpose, "questions")
            case status_pb2.VerifyCardRequest():
                return await self._verify(payload)
        raise OneCardError(errors_pb2.ERROR_REASON_UNKNOWN_METHOD)

    async def _statuses(self, questions: Sequence[status_pb2.CardQuestion], purpose: str, field: str) -> ReadAnswer:
        asked: list[tuple[str, CardKey | None]] = []
        for index, question in enumerate(questions):
            try:
                subject = self._subject(question.person)
            except OneCardError as error:
                place = field if field == "question" else f"{field}[{index}]"
                raise OneCardError(error.reason, violations=[(f"{place}.person", error.detail)]) from None
            asked.append((subject, card_key(question.card) if question.HasField("card") else None))
        found = await self._find([subject for subject, _ in asked])
        answers: list[bytes] = []
        stale_count = 0
        for (_, key), (standing, known_ms) in zip(asked, found, strict=True):
            if standing is None:
                stale_count += 1
                answer = _stale(known_ms)
            else:
                answer = _fresh(known_ms) + (standing.all_cards if key is None else standing.of_card(key))
            answers += (_ANSWER_TAG, _varint(len(answer)), answer)
        access: dict[str, Any] = {
            "purpose": purpose,
            "subjects": [subject for subject, _ in asked],
            "fresh": len(asked) - stale_count,
            "stale": stale_count,
        }
        return ReadAnswer(b"".join(answers), access)

    async def _verify(self, request: status_pb2.VerifyCardRequest) -> ReadAnswer:
        if not _TERMINAL.fullmatch(request.terminal) or _PERSONAL_NUMBER.search(request.terminal):
            raise OneCardError(errors_pb2.ERROR_REASON_PAYLOAD_INVALID, violations=[("terminal", _WRONG_TERMINAL)])
        subject = self._subject(request.person)
        ((standing, known_ms),) = await self._find([subject])
        verdict = status_pb2.CARD_VERDICT_STALE
        if standing is not None:
            verdict = verdict_on(
                standing.facts,
                number=request.card_number,
                recognition_code=request.recognition_code,
                electronic_card_id=request.electronic_card_id,
                today=business_day(self._clock_ms()),
            )
        response = status_pb2.VerifyCardResponse(
            is_valid=verdict == status_pb2.CARD_VERDICT_VALID, verdict=verdict, as_of_time=_time(known_ms)
        )
        access: dict[str, Any] = {
            "purpose": request.purpose,
            "terminal": request.terminal,
            "subjects": [subject],
            "verdict": status_pb2.CardVerdict.Name(verdict),
        }
        return ReadAnswer(response.SerializeToString(), access)

    def _subject(self, person: values_pb2.PersonIdentity) -> str:
        return self._subjects.pseudonym(normalise_identity(person.kind.code, person.number))

    async def _find(self, subjects: Sequence[str]) -> list[_Found]:
        """What is known of each person at one moment; rows that are missing are read before."""
        while True:
            missing: set[str] = set()
            now_ms = self._clock_ms()
            found = [self._look(subject, now_ms, missing) for subject in subjects]
            if not missing:
                return found
            await self._cache.read(missing)

    def _look(self, subject: str, now_ms: int, missing: set[str]) -> _Found:
        """Follow the person's numbers to the one that stands, through rows that are remembered."""
        known_ms = self._known_ms(subject)
        for _ in range(_LINK_COUNT_MAX):
            if known_ms <= now_ms - limits.CARD_STALE_MS:
                break
            standing = self._cache.find(subject)
            if standing is None:
                missing.add(subject)
                break
            if not standing.is_certain:
                break
            if not standing.linked_to:
                return standing, known_ms
            subject = standing.linked_to
            known_ms = min(known_ms, self._known_ms(subject))
        return None, known_ms

    def _known_ms(self, subject: str) -> int:
        return self._decisions.known_ms.get(self._subjects.partition_of_pseudonym(subject), 0)


def _time(known_ms: int) -> Timestamp | None:
    if not known_ms:
        return None
    time = Timestamp()
    time.FromMilliseconds(known_ms)
    return time


@functools.lru_cache(maxsize=1_024)
def _fresh(known_ms: int) -> bytes:
    """Freshness and time of a CardAnswer, serialised; its cards are put behind."""
    answer = status_pb2.CardAnswer(freshness=status_pb2.FRESHNESS_FRESH, as_of_time=_time(known_ms))
    return answer.SerializeToString()


@functools.lru_cache(maxsize=1_024)
def _stale(known_ms: int) -> bytes:
    answer = status_pb2.CardAnswer(freshness=status_pb2.FRESHNESS_STALE, as_of_time=_time(known_ms))
    return answer.SerializeToString()


def _varint(value: int) -> bytes:
    """A length as protobuf writes it."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
