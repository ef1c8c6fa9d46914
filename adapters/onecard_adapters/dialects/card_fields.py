"""A card in the columns of card offices (AAC, AAZ, ACA: domain.md 2.1), flat, in national terms and back.

Several dialects carry these columns in forms of their own: tags, JSON, XML. Columns that begin with `ykz` are ours: no
public source names one for what they hold. Owns the columns and the code tables that every card office needs; which
local status means which state stands in the profile's own tables.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, cast

from onecard.card.v1 import change_pb2, replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.cards.port import LocalCard
from onecard_adapters.mapping import fields
from onecard_adapters.mapping.codes import CodeTables
from onecard_adapters.mapping.fields import FieldMap, Rule, is_absent, text_from
from onecard_protocol.china_time import read_ms, shanghai_time
from onecard_protocol.errors import OneCardError, reason_name
from onecard_protocol.identity import CITIZEN_KINDS, to_18_digits

SHARED_TABLES: Final = Path(__file__).parent.parent / "profiles" / "codes" / "card-elements.yaml"
"""Sex, ethnicity, nationality, production, banks; a profile's own table of the same name comes before."""

SOCIAL_STATE: Final = "social_state"
REPLACEMENT_STEP: Final = "replacement_step"
HANDED_OUT: Final = "handed_out"
NEEDED_TABLES: Final = (
    *(SOCIAL_STATE, REPLACEMENT_STEP, HANDED_OUT),
    *("aac058", "aac004", "aac005", "aac161", "aca017", "aca015", "bank"),
)
"""Tables without which no card office is understood."""

NO_CARD: Final = "NO_CARD"
"""National code of a status under which no card exists: an application, a batch under way, a return that failed."""
_CARD_NUMBER: Final = re.compile(r"[A-Z0-9]{6,20}")
_SEQUENCE: Final = re.compile(r"[1-9][0-9]{0,3}")
_TIME: Final = re.compile(r"[0-9]{14}")
_SPECIFICATION: Final = re.compile(r"([1-3])\.[0-9]{2}")


class UnreadCard(OneCardError):
    """Not all of a card can be read, but which it is and how it stands can."""

    def __init__(self, error: OneCardError, card: LocalCard) -> None:
        super().__init__(error.reason, error.detail)
        self.card = card


def _rule(local: str, national: str, codec: fields.Codec) -> Rule:
    return Rule(local=local, national=national, codec=codec, absent_as="")


CARD_DATA: Final = FieldMap(
    values_pb2.CardData,
    [
        _rule("ykz501", "recognition_code", fields.TEXT),
        _rule("ykz502", "card_class", fields.TEXT),
        _rule("ykz503", "specification_version", fields.TEXT),
        _rule("ykz504", "institution_code", fields.TEXT),
        _rule("ykz505", "is_contactless", fields.FLAG),
        _rule("ykz506", "has_transit_mark", fields.FLAG),
        _rule("ykz507", "certificate_serial", fields.TEXT),
        _rule("ykz508", "electronic_card_id", fields.TEXT),
        _rule("aaz161", "issue_day", fields.DAY_COMPACT),
        _rule("aaz162", "expiry_day", fields.DAY_COMPACT),
        _rule("aca017", "production_kind", fields.code("aca017")),
        _rule("aca015", "production_way", fields.code("aca015")),
        _rule("aae010", "bank_card_number", fields.TEXT),
        _rule("aab301", "residence_area", fields.TEXT),
    ],
)
"""Face and chip. aae008, the bank, is told as a participant and stands beside this map."""

HOLDER: Final = FieldMap(
    values_pb2.HolderDetails,
    [
        _rule("aac003", "name", fields.TEXT),
        _rule("aac007", "social_security_number", fields.TEXT),
        _rule("aac004", "sex", fields.code("aac004")),
        _rule("aac005", "ethnicity", fields.code("aac005")),
        _rule("aac006", "birth_day", fields.DAY_COMPACT),
        _rule("aac161", "nationality", fields.code("aac161")),
    ],
)

_HOLDER_COLUMNS: Final = [FieldMap(HOLDER.message_class, [rule]) for rule in HOLDER.rules]
_DATA_COLUMNS: Final = [FieldMap(CARD_DATA.message_class, [rule]) for rule in CARD_DATA.rules]

_log = logging.getLogger(__name__)


def load_tables(file: Path) -> CodeTables:
    """A card office's tables over the shared ones. CONFIGURATION_INVALID names all that are missing."""
    own, shared = CodeTables.load(file), CodeTables.load(SHARED_TABLES)
    tables = CodeTables(own.version, {**{name: shared[name] for name in shared}, **{name: own[name] for name in own}})
    tables.require(NEEDED_TABLES)
    return tables


def read_card(flat: Mapping[str, object], tables: CodeTables, issuer: str, at: str) -> LocalCard | None:
    """The card that a row shows; None while there is no card yet under this status.

    Raises LOCAL_FORM_INVALID for what is missing or malformed, a masked number included, and UNMAPPED_CODE; as
    UnreadCard where it can be read how the card stands.
    """
    card = read_state(flat, tables, issuer, at)
    if card is None:
        return None
    try:
        return _with_data(card, flat, tables, issuer, at)
    except OneCardError as error:
        raise UnreadCard(error, card) from error


def _with_data(card: LocalCard, flat: Mapping[str, object], tables: CodeTables, issuer: str, at: str) -> LocalCard:
    data, holder = values_pb2.CardData(), values_pb2.HolderDetails()
    CARD_DATA.read(flat, data, tables, at)
    HOLDER.read(flat, holder, tables, at)
    if found := _SPECIFICATION.fullmatch(data.specification_version):
        data.generation = int(found[1])
    if bank := optional(flat, "aae008", at):
        data.bank = tables["bank"].to_national(bank, f"{at}.aae008").code
    person = read_person(flat, tables, at)
    if not holder.social_security_number:
        holder.social_security_number = person.number
    replaces = _reference(flat, issuer, "ykz510", "ykz511", at) if optional(flat, "ykz510", at) else None
    return dataclasses.replace(card, person=person, data=data, holder=holder, replaces=replaces)


def read_state(flat: Mapping[str, object], tables: CodeTables, issuer: str, at: str) -> LocalCard | None:
    """As `read_card`, but only which card and how it stands: nothing of person, face and chip."""
    status = required(flat, "aaz502", at)
    national = tables[SOCIAL_STATE].to_national(status, f"{at}.aaz502").code
    if national == NO_CARD:
        return None
    return LocalCard(
        person=exchange_values_pb2.PersonIdentity(),
        card=read_reference(flat, issuer, at),
        state=cast(values_pb2.SocialState, values_pb2.SocialState.Value(f"SOCIAL_STATE_{national}")),
        change=_change(status, tables),
        occurred_ms=time_ms(flat, "aae036", at),
        local_status=exchange_values_pb2.CodedValue(
            system=f"{issuer}.aaz502", version=tables[SOCIAL_STATE].version, code=status
        ),
        data=values_pb2.CardData(),
        holder=values_pb2.HolderDetails(),
    )


def as_told_last(card: LocalCard, unended: Iterable[change_pb2.ReportSocialChangeRequest]) -> LocalCard | None:
    """A card of which only `read_state` is known, with what was told of it last, where that stops it.

    None where it was not told, has ended, or stands as made or in use: what is in doubt may stop a card, but put none
    in use.
    """
    last = next((one for one in unended if one.card == card.card), None)
    if last is None or card.state in {values_pb2.SOCIAL_STATE_PRODUCED, values_pb2.SOCIAL_STATE_ACTIVE}:
        return None
    replaces = last.replaces if last.HasField("replaces") else None
    return dataclasses.replace(card, person=last.person, data=last.data, holder=last.holder, replaces=replaces)


def is_card(status: str, tables: CodeTables, path: str) -> bool:
    """Whether a card exists under a local status; UNMAPPED_CODE for one that is in no table."""
    return tables[SOCIAL_STATE].to_national(status, path).code != NO_CARD


def read_person(flat: Mapping[str, object], tables: CodeTables, at: str) -> exchange_values_pb2.PersonIdentity:
    """Who it is, by aac058 and aac002; a citizen's number in 18 characters and without a kind."""
    number = required(flat, "aac002", at).upper()
    if "*" in number:
        raise invalid(f"{at}.aac002", "masked by the local system: nobody can be told by it")
    kind = optional(flat, "aac058", at)
    coded = tables["aac058"].to_national(kind, f"{at}.aac058") if kind else None
    if coded is None or coded.code in CITIZEN_KINDS:
        return exchange_values_pb2.PersonIdentity(number=to_18_digits(number))
    return exchange_values_pb2.PersonIdentity(kind=coded, number=number)


def write_person(person: exchange_values_pb2.PersonIdentity, tables: CodeTables, at: str) -> dict[str, str]:
    """The columns of `read_person`."""
    citizen = tables["aac058"].coded("01")
    kind = citizen if person.kind.code in CITIZEN_KINDS else person.kind
    return {"aac058": tables["aac058"].to_local(kind, f"{at}.aac058"), "aac002": person.number}


def write_reference(card: values_pb2.CardReference) -> dict[str, str]:
    """The columns of a card."""
    return {"aaz500": card.number, "ykz509": str(card.sequence)}


def write_social_change(
    change: change_pb2.ReportSocialChangeRequest, tables: CodeTables, can_carry: Callable[[str], bool] = lambda _: True
) -> dict[str, object]:
    """A card of another province, as a copy is told. Raises UNMAPPED_CODE for a person or state in no local table.

    What else the tables cannot say, or the form cannot carry, is left out: a loss is no less one for a rare name.
    """
    at = "copy"
    bank = change.data.bank
    described: dict[str, object] = {}
    parts: list[Callable[[], Mapping[str, object]]] = [
        *(functools.partial(part.write, change.holder, tables, at) for part in _HOLDER_COLUMNS),
        *(functools.partial(part.write, change.data, tables, at) for part in _DATA_COLUMNS),
        lambda: {"aae008": _local(tables, "bank", bank, f"{at}.aae008") if bank else ""},
    ]
    for part in parts:
        try:
            described |= part()
        except OneCardError as error:
            _log.warning("a card is copied without a column: %s %s", reason_name(error.reason), error.detail)
    for name in [name for name, value in described.items() if not can_carry(str(value))]:
        del described[name]
        _log.warning("a card is copied without %s, which the local form cannot carry", name)
    return {
        **write_person(change.person, tables, at),
        **described,
        **write_reference(change.card),
        "aaz502": state_code(change.state, tables, f"{at}.aaz502"),
        "aae036": time_text(change.occurred_time.ToMilliseconds()),
        "ykz513": change.card.issuer,
        "ykz514": str(change.version),
    }


def state_code(state: values_pb2.SocialState, tables: CodeTables, path: str) -> str:
    """The local status that is written for a national state."""
    name = values_pb2.SocialState.Name(state).removeprefix("SOCIAL_STATE_")
    return _local(tables, SOCIAL_STATE, name, path)


def step_code(step: replacement_pb2.ReplacementStep, tables: CodeTables, path: str) -> str:
    """The local name of a step of a replacement; UNMAPPED_CODE for one that is not the card office's."""
    name = replacement_pb2.ReplacementStep.Name(step).removeprefix("REPLACEMENT_STEP_")
    return _local(tables, REPLACEMENT_STEP, name, path)


def _local(tables: CodeTables, table: str, national: str, path: str) -> str:
    coded = exchange_values_pb2.CodedValue(
        system=tables[table].system, version=tables[table].system_version, code=national
    )
    return tables[table].to_local(coded, path)


def _change(status: str, tables: CodeTables) -> change_pb2.SocialChange:
    """Handed out or not tells two changes apart that reach one state; the runtime derives all others by the states."""
    if status in tables[HANDED_OUT].by_local:
        return change_pb2.SOCIAL_CHANGE_ISSUED
    return change_pb2.SOCIAL_CHANGE_UNSPECIFIED


def read_sequence(flat: Mapping[str, object], name: str, at: str) -> int:
    """Which card under its number; one that is not told is the first."""
    sequence = optional(flat, name, at) or "1"
    if _SEQUENCE.fullmatch(sequence) is None:
        raise invalid(f"{at}.{name}", "not a whole number from 1")
    return int(sequence)


def read_reference(flat: Mapping[str, object], issuer: str, at: str) -> values_pb2.CardReference:
    """Which card a row is about."""
    return _reference(flat, issuer, "aaz500", "ykz509", at)


def _reference(
    flat: Mapping[str, object], issuer: str, number_name: str, sequence_name: str, at: str
) -> values_pb2.CardReference:
    number = required(flat, number_name, at)
    if _CARD_NUMBER.fullmatch(number) is None:
        raise invalid(f"{at}.{number_name}", "not a card number")
    return values_pb2.CardReference(issuer=issuer, number=number, sequence=read_sequence(flat, sequence_name, at))


def required(flat: Mapping[str, object], name: str, at: str) -> str:
    """A column that must be filled."""
    if not (text := optional(flat, name, at)):
        raise invalid(f"{at}.{name}", "missing")
    return text


def optional(flat: Mapping[str, object], name: str, at: str) -> str:
    """A column, "" where it is not filled."""
    value = flat.get(name)
    return "" if is_absent(value) else text_from(value, f"{at}.{name}").strip()


def time_ms(flat: Mapping[str, object], name: str, at: str) -> int:
    """ms since 1970 of a time of fourteen digits in China."""
    text = required(flat, name, at)
    try:
        if _TIME.fullmatch(text) is None:
            raise ValueError
        return read_ms(text, "%Y%m%d%H%M%S")
    except ValueError:
        raise invalid(f"{at}.{name}", "not a time") from None


def time_text(at_ms: int) -> str:
    """A time in China in fourteen digits."""
    return f"{shanghai_time(at_ms):%Y%m%d%H%M%S}"


def invalid(path: str, problem: str) -> OneCardError:
    """LOCAL_FORM_INVALID at a column."""
    return OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: {problem}")
