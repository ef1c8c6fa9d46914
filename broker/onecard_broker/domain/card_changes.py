"""What a change of a card does that its authority tells: whose word counts, versions, one ACTIVE card, who is told.

The theory. Each machine of a card has one authority, which numbers what it tells: the issuer the social application,
the card's bank the account. The number decides, not the arrival.

- The first that is told of a machine is its first knowledge, in whatever state: it was there before. What is older than
  that is late, and nothing is missing before it.
- The next version is a change if the table allows it. One further on is a change if some legal path of that length
  leads there; the versions in between are missing, asked for once, and close the gap when they come, late and without
  effect: a report carries all that its authority knows, so the newest one says everything.
- The same version again is a repeat if its content is the same, and a conflict if not. The newest repeated closes every
  gap: so answers an authority that can tell no more than where its card stands.
- A lower version is late if it was missing, or if it tells of no later time; if it tells of a later time, its sender
  counts anew: its count went backwards.
- At most one card of a person is ACTIVE. One that becomes ACTIVE while another is, is refused, unless it names that one
  as replaced: then the other is SUPERSEDED in the same decision and a replacement begins. Of two that race, the one
  that stands first in the journal wins.

What is refused changes nothing, so its version is told again with a content that is allowed; only a change to where the
card already stands is refused and yet counted, and passed on for its version.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from typing import Final

from onecard.card.v1 import change_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2, message_pb2
from onecard_broker.domain import card_replacement
from onecard_broker.domain.card_holding import Holding
from onecard_broker.domain.card_state import Card, CardKey, Change, LocalStatus, Machine, card_key
from onecard_broker.domain.card_states import ENDED, TABLES, leads_to
from onecard_broker.domain.model import Feeds, KnownMessage, KnownState, MessageKey
from onecard_protocol import limits
from onecard_protocol.card_digests import day_number
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import HUB, participant_of_area
from onecard_protocol.messages import to_ms
from onecard_protocol.signatures.sm3 import sm3
from onecard_protocol.value_class import value_class

PACKAGE: Final = "onecard.card.v1"
REQUEST_VERSIONS: Final = "/onecard.card.v1.CardChangeService/RequestVersions"
_DIGEST_BYTES: Final = 16


@value_class(frozen=True, slots=True, kw_only=True)
class _Told:
    """A report without what tells the two machines' reports apart."""

    machine: change_pb2.CardMachine
    state: int
    change: int
    version: int
    occurred_ms: int
    local: LocalStatus
    digest: bytes


def take_change(holding: Holding, payload: Change) -> MessageKey | None:
    """Apply a report, count it, or refuse it; returns the refusal's key. Saves the holder."""
    try:
        _take(holding, payload)
    except OneCardError as error:
        return holding.ruling.reject(holding.ruling.arrived(KnownState.DECIDED), error)
    finally:
        holding.save()
    return None


def _take(holding: Holding, payload: Change) -> None:
    card = holding.holder.find(card_key(payload.card))
    _check_authority(holding, payload, card)
    if not holding.is_known_as(payload.person):
        raise OneCardError(errors_pb2.ERROR_REASON_LINK_CONFLICT)
    told = _told(payload)
    issuer, number, sequence = card_key(payload.card)
    before = card or Card(issuer=issuer, number=number, sequence=sequence)
    machine = _machine(before, told.machine)
    if machine.version and told.version <= machine.version:
        holding.put(_with_machine(before, told.machine, _late(machine, told)))
        return
    missing = told.version - machine.version - 1 if machine.version else 0
    moved = Machine(
        state=told.state,
        version=told.version,
        digest=told.digest,
        changed_ms=told.occurred_ms,
        local=told.local,
        missing=_with_gap(machine.missing, told.version - missing, told.version - 1),
        late_count=machine.late_count,
    )
    after = _changed(before, payload, moved)
    if machine.version:
        _check_path(holding, before, told, missing)
    if after.is_active and not before.is_active:
        _check_only_active(holding, after)
    holding.identify(payload.person)
    if missing:
        _ask_for(holding, payload, told, missing)
    holding.put(after)
    recipients = _recipients(holding, before, after, told)
    name = payload.holder.name if isinstance(payload, change_pb2.ReportSocialChangeRequest) else ""
    is_named_anew = name not in {"", holding.holder.name}
    if machine.digest and not missing and not is_named_anew and _is_already(before, after, told):
        # Its version counts, so everybody else counts it too.
        _pass_on(holding, recipients)
        raise OneCardError(errors_pb2.ERROR_REASON_CARD_ALREADY)
    if is_named_anew:
        holding.change(name=name)
    if isinstance(payload, change_pb2.ReportSocialChangeRequest):
        _follow(holding, before, after, told)
    _pass_on(holding, recipients)


# ---- whose word counts ---------------------------------------------------------------------------------------------


def _check_authority(holding: Holding, payload: Change, card: Card | None) -> None:
    sender = holding.ruling.message.header.sender
    if isinstance(payload, change_pb2.ReportSocialChangeRequest):
        authority = payload.card.issuer
    elif card is None:
        raise OneCardError(errors_pb2.ERROR_REASON_CARD_UNKNOWN)
    else:
        authority = card.bank
    if sender != authority:
        raise OneCardError(errors_pb2.ERROR_REASON_CARD_AUTHORITY)


# ---- versions ------------------------------------------------------------------------------------------------------


def _late(machine: Machine, told: _Told) -> Machine:
    """The machine with a report counted that is not its newest; raises where its version says that it should be."""
    if told.version == machine.version and machine.digest and told.digest != machine.digest:
        raise OneCardError(errors_pb2.ERROR_REASON_CARD_VERSION_CONFLICT)
    was_missing = any(first <= told.version <= last for first, last in machine.missing)
    if not was_missing and told.version < machine.version and told.occurred_ms > machine.changed_ms:
        raise OneCardError(
            errors_pb2.ERROR_REASON_CARD_VERSION_BACKWARDS, f"the registry's version is {machine.version}"
        )
    is_newest_again = told.version == machine.version and told.digest == machine.digest
    missing = () if is_newest_again else _without(machine.missing, told.version)
    return dataclasses.replace(machine, late_count=machine.late_count + 1, missing=missing)


def _with_gap(missing: tuple[tuple[int, int], ...], first: int, last: int) -> tuple[tuple[int, int], ...]:
    """The ranges with one more; beyond their bound the oldest is forgotten, and a comparison will find what it told."""
    return (*missing, (first, last))[-limits.CARD_MISSING_RANGE_COUNT_MAX :] if first <= last else missing


def _without(missing: tuple[tuple[int, int], ...], version: int) -> tuple[tuple[int, int], ...]:
    """The ranges without a version that has come."""
    kept: list[tuple[int, int]] = []
    for first, last in missing:
        parts = ((first, min(last, version - 1)), (max(first, version + 1), last))
        kept += dict.fromkeys(part for part in parts if part[0] <= part[1])
    return tuple(kept[-limits.CARD_MISSING_RANGE_COUNT_MAX :])


def _ask_for(holding: Holding, payload: Change, told: _Told, missing: int) -> None:
    """Ask the authority for the versions before this one that never came."""
    ruling = holding.ruling
    authority = ruling.message.header.sender
    request = change_pb2.RequestVersionsRequest(
        card=payload.card,
        machine=told.machine,
        first_version=told.version - missing,
        last_version=told.version - 1,
        person=payload.person,
    ).SerializeToString(deterministic=True)
    _, message_id = ruling.say(authority, REQUEST_VERSIONS, message_pb2.MESSAGE_KIND_EVENT, request)
    ruling.remember(
        KnownMessage(
            sender=HUB,
            id=message_id,
            digest=b"",  # The header's, which the worker makes; it fills it in.
            recipient=authority,
            method=REQUEST_VERSIONS,
            subject=ruling.inbound.subject,
            state=KnownState.DECIDED,
        )
    )


# ---- states --------------------------------------------------------------------------------------------------------


def _check_path(holding: Holding, before: Card, told: _Told, missing: int) -> None:
    state = _machine(before, told.machine).state
    is_replaced = any(other.replaces == before.key for other in holding.holder.cards)
    is_legal = leads_to(told.machine, state, told.change, told.state, missing=missing, is_replaced=is_replaced)
    if told.state != state and not is_legal:
        raise OneCardError(
            errors_pb2.ERROR_REASON_ILLEGAL_TRANSITION,
            f"from {_state_name(told.machine, state)} to {_state_name(told.machine, told.state)}"
            f" in at most {missing + 1} changes",
        )


def _check_only_active(holding: Holding, card: Card) -> None:
    if any(other.key != card.replaces for other in holding.active_besides(card)):
        raise OneCardError(errors_pb2.ERROR_REASON_ANOTHER_CARD_ACTIVE)


def _is_already(before: Card, after: Card, told: _Told) -> bool:
    """Whether nothing is told of the card but where it already stands."""
    was, now = _machine(before, told.machine), _machine(after, told.machine)
    if now.state != was.state or now.local != was.local or (was.state, told.change) in TABLES[told.machine]:
        return False
    return _with_machine(after, told.machine, was) == before


def _follow(holding: Holding, before: Card, after: Card, told: _Told) -> None:
    """What follows from a state of the social application: the predecessor's end, a replacement, its undoing."""
    if after.is_active and not before.is_active and after.replaces is not None:
        old = holding.holder.find(after.replaces)
        ends_old = old is not None and old.social.state not in ENDED
        if old is not None and ends_old:
            supersede(holding, old, told.occurred_ms)
        # A card that is told of for the first time long after it was enabled began nothing now.
        is_enabled_now = told.change == change_pb2.SOCIAL_CHANGE_ENABLED
        if ends_old or is_enabled_now or before.social.state == values_pb2.SOCIAL_STATE_PRODUCED:
            card_replacement.begin(holding, after.replaces, after)
    if after.social.state in ENDED:
        is_cancelled = after.social.state == values_pb2.SOCIAL_STATE_CANCELLED
        card_replacement.card_ended(holding, after, is_cancelled=is_cancelled)


def supersede(holding: Holding, card: Card, changed_ms: int) -> None:
    """The hub ends a card because its successor is in use; its version is the issuer's to raise.

    No content was told of that state, so it has no digest: the issuer's report of it is news to all who follow.
    """
    ended = dataclasses.replace(
        card.social, state=values_pb2.SOCIAL_STATE_SUPERSEDED, changed_ms=changed_ms, digest=b""
    )
    holding.put(dataclasses.replace(card, social=ended))


# ---- who is told ---------------------------------------------------------------------------------------------------


def _pass_on(holding: Holding, recipients: Iterable[str]) -> None:
    for recipient in recipients:
        holding.ruling.pass_on(recipient, holding.ruling.message)


def _recipients(holding: Holding, before: Card, after: Card, told: _Told) -> Iterable[str]:
    """The gateways first; where the holder lives or lived, the other machine's authority, and all who follow."""
    state, message = holding.ruling.state, holding.ruling.message
    residence = participant_of_area(after.residence_area)
    other = after.bank if told.machine == change_pb2.CARD_MACHINE_SOCIAL else after.issuer
    told_too = {residence or "", participant_of_area(before.residence_area) or "", other}
    followed = state.feeds.get(PACKAGE, Feeds()).of_province(residence or "")
    recipients = told_too | holding.holder.followers | followed
    return HUB, *sorted(recipients - {HUB, "", message.header.sender})


# ---- form ----------------------------------------------------------------------------------------------------------


def _told(payload: Change) -> _Told:
    is_social = isinstance(payload, change_pb2.ReportSocialChangeRequest)
    local = payload.local_status
    return _Told(
        machine=change_pb2.CARD_MACHINE_SOCIAL if is_social else change_pb2.CARD_MACHINE_FINANCIAL,
        state=payload.state,
        change=payload.change,
        version=payload.version,
        occurred_ms=to_ms(payload.occurred_time),
        local=LocalStatus(system=local.system, version=local.version, code=local.code),
        digest=content_digest(payload),
    )


def _card(
    key: CardKey,
    data: values_pb2.CardData,
    *,
    social: Machine,
    financial: Machine,
    bank_card_number: str,
    replaces: CardKey | None,
) -> Card:
    """The card with its face and chip as the issuer tells them."""
    issuer, number, sequence = key
    return Card(
        issuer=issuer,
        number=number,
        sequence=sequence,
        social=social,
        financial=financial,
        recognition_code=data.recognition_code,
        electronic_card_id=data.electronic_card_id,
        bank=data.bank,
        bank_card_number=bank_card_number,
        generation=data.generation,
        specification_version=data.specification_version,
        card_class=data.card_class,
        institution_code=data.institution_code,
        issue_day=day_number(data.issue_day),
        expiry_day=day_number(data.expiry_day),
        is_contactless=data.is_contactless,
        has_transit_mark=data.has_transit_mark,
        certificate_serial=data.certificate_serial,
        production_kind=data.production_kind.code,
        production_way=data.production_way.code,
        residence_area=data.residence_area,
        photo_digest=data.photo_digest,
        replaces=replaces,
    )


def content_digest(payload: Change) -> bytes:
    """By what the same version with other content shows: whatever was told but by which of the person's numbers."""
    return own_content_digest(copy.deepcopy(payload))


def own_content_digest(payload: Change) -> bytes:
    """The same of a report that nobody else needs: takes the person out of it."""
    payload.ClearField("person")
    return sm3(payload.SerializeToString(deterministic=True))[:_DIGEST_BYTES]


def _machine(card: Card, machine: change_pb2.CardMachine) -> Machine:
    return card.social if machine == change_pb2.CARD_MACHINE_SOCIAL else card.financial


def _with_machine(card: Card, machine: change_pb2.CardMachine, value: Machine) -> Card:
    if machine == change_pb2.CARD_MACHINE_SOCIAL:
        return dataclasses.replace(card, social=value)
    return dataclasses.replace(card, financial=value)


def _changed(card: Card, payload: Change, moved: Machine) -> Card:
    """The card as the report leaves it; the account's number is the bank's to say once it has said it."""
    if isinstance(payload, change_pb2.ReportFinancialChangeRequest):
        number = payload.bank_card_number or card.bank_card_number
        return dataclasses.replace(card, financial=moved, bank_card_number=number)
    data = payload.data
    is_same_bank = data.bank == card.bank
    is_told_by_bank = is_same_bank and card.financial.version > 0 and card.bank_card_number != ""
    return _card(
        card.key,
        data,
        social=moved,
        financial=card.financial if is_same_bank else Machine(),
        bank_card_number=card.bank_card_number if is_told_by_bank else data.bank_card_number,
        replaces=card_key(payload.replaces) if payload.HasField("replaces") else card.replaces,
    )


def _state_name(machine: change_pb2.CardMachine, state: int) -> str:
    names = values_pb2.SocialState if machine == change_pb2.CARD_MACHINE_SOCIAL else values_pb2.FinancialState
    return names.Name(state).partition("_STATE_")[2]
