"""A synthetic cardholder: every message about the person's cards, and a worker of the pure rules to give them to."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final

from google.protobuf.message import Message as ProtoMessage

from onecard.card.v1 import change_pb2, feed_pb2, replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_broker.domain.card_state import Card, Cardholder, CardKey, Replacement, holder_key, reference_of
from onecard_protocol.identifiers import HUB
from onecard_protocol.identity import check_digit
from onecard_protocol.messages import Message, timestamp
from onecard_protocol.signatures.sm3 import sm3
from tests.support.domain import START_MS, Delivery, InMemoryWorker, make_answer, make_message
from tests.support.stays import coded, day

BEIJING: Final = "cn-11"
GUANGXI: Final = "cn-45"
SICHUAN: Final = "cn-51"
BANK: Final = "bank-102"
OTHER_BANK: Final = "bank-105"
BANK_CARD: Final = "6228480000000000000"

_CHANGES: Final = "/onecard.card.v1.CardChangeService/"
_FEEDS: Final = "/onecard.card.v1.CardFeedService/"
SOCIAL: Final = _CHANGES + "ReportSocialChange"
FINANCIAL: Final = _CHANGES + "ReportFinancialChange"
REQUEST_VERSIONS: Final = _CHANGES + "RequestVersions"
FOLLOW: Final = _FEEDS + "FollowPerson"
UNFOLLOW: Final = _FEEDS + "UnfollowPerson"
LINK: Final = _FEEDS + "LinkNumber"
UNLINK: Final = _FEEDS + "UnlinkNumber"
TAKE_OVER: Final = _FEEDS + "TakeOver"
CARRY_OUT: Final = "/onecard.card.v1.CardReplacementService/CarryOutStep"
ASK_AGAIN: Final = "/onecard.card.v1.CardReplacementService/AskAgain"
CONFIRM: Final = "/onecard.card.v1.CardReplacementService/ConfirmBenefitAccount"

_STATES: Final = {
    "PRODUCED": "PRODUCED",
    "ISSUED": "PRODUCED",
    "ENABLED": "ACTIVE",
    "FOUND": "ACTIVE",
    "UNLOCKED": "ACTIVE",
    "OPENED": "NOT_ACTIVATED",
    "ACTIVATED": "ACTIVE",
    "UNFROZEN": "ACTIVE",
}

OLD: Final[CardKey] = (BEIJING, "A10000001", 1)
NEW: Final[CardKey] = (GUANGXI, "B20000002", 1)


@dataclasses.dataclass(frozen=True, slots=True)
class SyntheticHolder:
    """The messages of one person; equal arguments give equal messages."""

    serial: int = 1

    @property
    def number(self) -> str:
        """A number that was never given to a person."""
        first_17 = f"110000192001{1 + self.serial // 1_000 % 28:02}{self.serial % 1_000:03}"
        return first_17 + check_digit(first_17)

    @property
    def subject(self) -> str:
        """A pseudonym."""
        return _pseudonym(self.serial)

    @property
    def person(self) -> exchange_values_pb2.PersonIdentity:
        """The person's identity."""
        return exchange_values_pb2.PersonIdentity(kind=coded("nhsa.psn_cert_type", "01"), number=self.number)

    # ---- changes ---------------------------------------------------------------------------------------------------

    def social(
        self,
        change: str,
        version: int,
        *,
        card: CardKey = OLD,
        state: str = "",
        replaces: CardKey | None = None,
        at_ms: int | None = None,
        sender: str = "",
        name: str = "示例",
        **data: Any,
    ) -> Message:
        """A report by the issuer; `state` is by default the one that the change leads to."""
        state = state or _STATES.get(change, change)
        payload = change_pb2.ReportSocialChangeRequest(
            person=self.person,
            card=reference_of(card),
            version=version,
            change=f"SOCIAL_CHANGE_{change}",
            state=f"SOCIAL_STATE_{state}",
            occurred_time=timestamp(START_MS + version * 1_000 if at_ms is None else at_ms),
            local_status=coded("mohrss.aaz502", state),
            data=self.data(card, **data),
            holder=values_pb2.HolderDetails(name=name),
            replaces=None if replaces is None else reference_of(replaces),
        )
        return self._event(SOCIAL, payload, sender or card[0], f"{card}|{change}|{version}|{at_ms}|{data}")

    def financial(
        self,
        change: str,
        version: int,
        *,
        card: CardKey = OLD,
        state: str = "",
        at_ms: int | None = None,
        sender: str = BANK,
        bank_card_number: str = BANK_CARD,
        local: str = "",
    ) -> Message:
        """A report by the card's bank."""
        state = state or _STATES.get(change, change)
        payload = change_pb2.ReportFinancialChangeRequest(
            person=self.person,
            card=reference_of(card),
            version=version,
            change=f"FINANCIAL_CHANGE_{change}",
            state=f"FINANCIAL_STATE_{state}",
            occurred_time=timestamp(START_MS + version * 1_000 if at_ms is None else at_ms),
            local_status=coded("bank.status", local or state),
            bank_card_number=bank_card_number,
        )
        return self._event(FINANCIAL, payload, sender, f"{card}|{change}|{version}|{at_ms}|{local}")

    def data(self, card: CardKey = OLD, **changes: Any) -> values_pb2.CardData:
        """Face and chip."""
        fields: dict[str, Any] = {
            "generation": 3,
            "specification_version": "3.00",
            "card_class": "1",
            "recognition_code": f"{card[0][3:]}0100" + card[1][1:] + "0" * 18,
            "institution_code": "1100" * 6,
            "issue_day": day(2),
            "bank": BANK,
            "bank_card_number": BANK_CARD,
            "residence_area": "510100",
            "production_kind": coded("mohrss.aca017", "1"),
            "production_way": coded("mohrss.aca015", "1"),
        }
        return values_pb2.CardData(**(fields | changes))

    # ---- requests --------------------------------------------------------------------------------------------------

    def follow(self, sender: str, seed: str = "follow") -> Message:
        """Follows the person."""
        payload = feed_pb2.FollowPersonRequest(person=self.person, purpose="benefit-payment")
        return self._request(FOLLOW, payload, sender, seed)

    def unfollow(self, sender: str, seed: str = "unfollow") -> Message:
        """Follows the person no more."""
        return self._request(UNFOLLOW, feed_pb2.UnfollowPersonRequest(person=self.person), sender, seed)

    def link(self, primary: SyntheticHolder, sender: str = BEIJING, seed: str = "link") -> Message:
        """Links the number to a primary one."""
        payload = feed_pb2.LinkNumberRequest(person=self.person, primary=primary.person, document="京公外[2026]1")
        return self._request(LINK, payload, sender, f"{seed}|{primary.serial}")

    def unlink(self, seed: str = "unlink") -> Message:
        """Takes the link back."""
        return self._request(UNLINK, feed_pb2.UnlinkNumberRequest(person=self.person, cause="误关联"), HUB, seed)

    def confirm(self, replacement_id: str, sender: str = GUANGXI, seed: str = "confirm", bank: str = BANK) -> Message:
        """Confirms the benefit account."""
        payload = replacement_pb2.ConfirmBenefitAccountRequest(
            person=self.person, replacement_id=replacement_id, bank=bank
        )
        return self._request(CONFIRM, payload, sender, seed)

    def ask_again(self, replacement_id: str, cause: str) -> Message:
        """An operator has stuck steps asked for again."""
        payload = replacement_pb2.AskAgainRequest(person=self.person, replacement_id=replacement_id, cause=cause)
        return self._request(ASK_AGAIN, payload, HUB, cause)

    def _request(self, method: str, payload: ProtoMessage, sender: str, seed: str) -> Message:
        return self._message(method, message_pb2.MESSAGE_KIND_REQUEST, payload, sender, seed)

    def _event(self, method: str, payload: ProtoMessage, sender: str, seed: str) -> Message:
        return self._message(method, message_pb2.MESSAGE_KIND_EVENT, payload, sender, seed)

    def _message(
        self, method: str, kind: message_pb2.MessageKind, payload: ProtoMessage, sender: str, seed: str
    ) -> Message:
        return make_message(
            method, kind, payload, sender=sender, recipient=HUB, created_ms=START_MS, seed=f"{self.serial}|{seed}"
        )


@functools.cache
def _pseudonym(serial: int) -> str:
    return sm3(SyntheticHolder(serial).number.encode()).hex()


class Registry(InMemoryWorker):
    """The rules with one or more holders, by their words."""

    def tell(
        self, message: Message, holder: SyntheticHolder | None = None, *, other_subject: str = ""
    ) -> list[Delivery]:
        """Submit a message of a holder, and all that it forwards."""
        subject = (holder or SyntheticHolder()).subject
        delivered = self.submit(message, subject=subject, other_subject=other_subject)
        return delivered + self.forward()

    def link(self, old: SyntheticHolder, primary: SyntheticHolder, **words: str) -> list[Delivery]:
        """Link two numbers."""
        return self.tell(old.link(primary, **words), old, other_subject=primary.subject)

    def reply(self, request: Message, payload: ProtoMessage | None = None, seed: str = "reply") -> list[Delivery]:
        """A province answers a step."""
        payload = payload or replacement_pb2.CarryOutStepResponse(done_time=timestamp(self.now_ms), local_id="L1")
        answer = make_answer(request, payload, created_ms=self.now_ms, seed=f"{seed}|{request.header.id.hex()}")
        return self.submit(answer)

    def holder(self, holder: SyntheticHolder | None = None) -> Cardholder:
        """A holder's state."""
        state: Cardholder = self.aggregates[holder_key((holder or SyntheticHolder()).subject)]
        return state

    def card(self, key: CardKey = OLD, holder: SyntheticHolder | None = None) -> Card:
        """A card's state."""
        card = self.holder(holder).find(key)
        assert card is not None
        return card

    def social_state(self, key: CardKey = OLD, holder: SyntheticHolder | None = None) -> str:
        """The name of a card's social state."""
        state = self.card(key, holder).social.state
        return values_pb2.SocialState.Name(state).removeprefix("SOCIAL_STATE_")

    def replacement(self, holder: SyntheticHolder | None = None) -> Replacement:
        """The only replacement."""
        (replacement,) = self.holder(holder).replacements
        return replacement

    def steps_asked(self, deliveries: Iterable[Delivery] | None = None) -> list[Message]:
        """The hub's requests for steps, in order."""
        return [
            delivery.message
            for delivery in (self.deliveries if deliveries is None else deliveries)
            if delivery.message.header.method == CARRY_OUT
            and delivery.message.header.kind == message_pb2.MESSAGE_KIND_REQUEST
        ]


def step_in(message: Message) -> replacement_pb2.CarryOutStepRequest:
    """What a request for a step asks."""
    return replacement_pb2.CarryOutStepRequest.FromString(message.payload)


def step_name(message: Message) -> str:
    """Step and direction of a request, such as "OLD_SUPERSEDED" or "back CREDENTIAL_FOLLOWED"."""
    asked = step_in(message)
    name = replacement_pb2.ReplacementStep.Name(asked.step).removeprefix("REPLACEMENT_STEP_")
    return f"back {name}" if asked.direction == replacement_pb2.STEP_DIRECTION_BACK else name


def refusals(deliveries: Sequence[Delivery]) -> list[str]:
    """The names of the reasons of the rejections among deliveries."""
    return [
        errors_pb2.ErrorReason.Name(message_pb2.Rejection.FromString(delivery.message.payload).reason).removeprefix(
            "ERROR_REASON_"
        )
        for delivery in deliveries
        if delivery.message.header.kind == message_pb2.MESSAGE_KIND_REJECTION
    ]


def recipients(deliveries: Sequence[Delivery], message: Message) -> list[str]:
    """To whom a message was passed on, as it was."""
    return [delivery.recipient for delivery in deliveries if delivery.message == message]
