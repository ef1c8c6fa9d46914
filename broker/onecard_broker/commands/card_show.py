"""`onecard card show` and `saga`: a person's cards, and the replacement of one step by step.

Numbers are masked; in full they are shown for a reason that is kept with the operator's name before anything is shown.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import re
import socket
import sys
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from onecard.card.v1 import replacement_pb2, values_pb2
from onecard.exchange.v1 import errors_pb2
from onecard_broker.admission.subject import Subjects
from onecard_broker.bootstrap import read_subject_key
from onecard_broker.commands.card_calls import ConfigOption, JsonOption, open_database
from onecard_broker.commands.card_screen import shown_person, shown_saga
from onecard_broker.domain.card_state import Card, Cardholder, CardKey, Machine, Replacement, holder_key
from onecard_broker.journal import partition_of_pseudonym
from onecard_broker.records.card_registry import CardRegistry
from onecard_broker.records.operator_reads import OperatorRead, keep_read
from onecard_broker.records.schema import check
from onecard_broker.settings import HubSettings, load_hub_settings
from onecard_protocol.china_time import shanghai_time
from onecard_protocol.clock import now_ms
from onecard_protocol.commands.usage import refuse, typed_id
from onecard_protocol.errors import reason_name
from onecard_protocol.explained import ExitCode, Explained, Explanation, Text, language_of
from onecard_protocol.identifiers import id_text
from onecard_protocol.identity import normalise_identity

_SUBJECT: Final = re.compile(r"[0-9a-f]{64}")


def show(
    config: ConfigOption,
    person_number: Annotated[
        bool, typer.Option("--person-number", help="Ask for the person's number, or read it from standard input.")
    ] = False,
    kind: Annotated[str, typer.Option(help="Certificate type of the number, as GA/T 517 codes it.")] = "01",
    subject: Annotated[str, typer.Option(help="The person's pseudonym, as logs show it.")] = "",
    reveal: Annotated[bool, typer.Option("--reveal", help="Show numbers in full; needs --reason.")] = False,
    reason: Annotated[str, typer.Option(help="Why; kept with your name. No personal data.")] = "",
    as_json: JsonOption = False,
) -> None:
    """The cards of one person as the registry holds them.

    A number never stands in the command line, where others could see it.
    """
    if person_number == bool(subject):
        refuse(
            Text(
                en="Name the person by --person-number or by --subject.",
                zh="须以 --person-number 或 --subject 之一指明人员。",
            ),
            "--person-number / --subject",
            "card show",
        )
    if subject and not _SUBJECT.fullmatch(subject):
        refuse(
            Text(en="--subject is a pseudonym of 64 hex digits.", zh="--subject 须为 64 位十六进制化名。"),
            "--subject",
            "card show",
        )
    check_revealing(reveal, reason, "card show")
    settings = load_hub_settings(config)
    check(settings.database)
    if person_number:
        subjects = Subjects(read_subject_key(settings.subject_key_file), settings.log.partition_count)
        subject = subjects.pseudonym(normalise_identity(kind, read_number()))
    holder = asyncio.run(_look(settings, subject, reveal, reason.strip()))
    if holder is None:
        raise Explained(
            Explanation(
                what=Text(en="The registry knows no cards of this person.", zh="持卡库中没有该人员的卡。"),
                why=(f"subject {subject}",),
                remedy=Text(
                    en="Check the number and its type; the issuer reports a card's production first.",
                    zh="请核对证件号码与证件类型；卡须先由发卡地上报制卡信息。",
                ),
                exit_code=ExitCode.REFUSED,
                reason=reason_name(errors_pb2.ERROR_REASON_CARD_UNKNOWN),
            )
        )
    person = _person(holder, is_revealed=reveal)
    if as_json:
        print(json.dumps(person, ensure_ascii=False, indent=1))
    else:
        Console().print(shown_person(person, language_of(os.environ)))


def saga(
    config: ConfigOption,
    replacement_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the replacement, 32 hex digits.")],
    as_json: JsonOption = False,
) -> None:
    """A replacement, step by step."""
    wanted = typed_id(replacement_id, "card saga")
    settings = load_hub_settings(config)
    check(settings.database)
    _, found = find_saga(settings, wanted)
    told = _replacement(found)
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        Console().print(shown_saga(told, language_of(os.environ)))


def check_revealing(reveal: bool, reason: str, command: str) -> None:
    """Refuse to show numbers in full without a reason. Raises Explained: the command line is wrong."""
    if reveal and not reason.strip():
        refuse(Text(en="--reveal needs --reason.", zh="--reveal 须同时给出 --reason。"), "--reason", command)


def read_number(prompt: str = "Number / 证件号码: ") -> str:
    """A number from the terminal, unseen, or a line of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt).strip()
    return sys.stdin.readline().strip()


async def _look(settings: HubSettings, subject: str, is_revealed: bool, reason: str) -> Cardholder | None:
    async with open_database(settings) as database:
        connection = await database.get()
        read = OperatorRead(
            read_ms=now_ms(),
            operator=f"{getpass.getuser()}@{socket.gethostname()}",
            subject=subject,
            is_revealed=is_revealed,
            reason=reason,
        )
        await keep_read(connection, read)
        key = partition_of_pseudonym(subject, settings.log.partition_count), holder_key(subject)
        return (await CardRegistry().load(connection, [key])).get(key)


def find_saga(settings: HubSettings, wanted: bytes) -> tuple[Cardholder, Replacement]:
    """A replacement by its id, with its holder. Raises Explained for one that is unknown."""

    async def find() -> tuple[Cardholder, Replacement] | None:
        async with open_database(settings) as database:
            return await CardRegistry().find_replacement(await database.get(), wanted)

    found = asyncio.run(find())
    if found is None:
        raise Explained(
            Explanation(
                what=Text(en="There is no replacement with this id.", zh="没有该编号的换卡业务。"),
                why=(
                    f"id {id_text(wanted)}",
                    "it is the id of the message that enabled the new card / 编号应为启用新卡的那条报文的编号",
                ),
                remedy=Text(
                    en="`onecard card show` lists a person's replacements.",
                    zh="`onecard card show` 可列出人员的换卡业务。",
                ),
                exit_code=ExitCode.REFUSED,
                reason=reason_name(errors_pb2.ERROR_REASON_REPLACEMENT_UNKNOWN),
            )
        )
    return found


def _person(holder: Cardholder, *, is_revealed: bool) -> dict[str, Any]:
    def number(text: str) -> str:
        return text if is_revealed else masked(text)

    return {
        "subject": holder.subject,
        "kind": holder.kind,
        "number": number(holder.number),
        "name": holder.name if is_revealed else masked(holder.name),
        "linked_to": holder.linked_to,
        "linked_from": list(holder.linked_from),
        "followers": sorted(holder.followers),
        "cards": [
            {
                "issuer": card.issuer,
                "number": number(card.number),
                "sequence": card.sequence,
                "social": _machine(card.social, values_pb2.SocialState.Name(card.social.state)),
                "financial": _machine(card.financial, values_pb2.FinancialState.Name(card.financial.state)),
                "bank": card.bank,
                "bank_card_number": number(card.bank_card_number),
                "electronic_card_id": number(card.electronic_card_id),
                "generation": card.generation,
                "issue_day": card.issue_day or None,
                "expiry_day": card.expiry_day or None,
            }
            for card in _in_use_first(holder)
        ],
        "replacements": [_replacement(one, is_revealed=is_revealed) for one in holder.replacements],
    }


def _in_use_first(holder: Cardholder) -> list[Card]:
    return sorted(holder.cards, key=lambda card: (not card.is_active, -card.social.changed_ms))


def _machine(machine: Machine, state: str) -> dict[str, Any]:
    return {
        "state": state.partition("_STATE_")[2],
        "version": machine.version,
        "changed_time": _time(machine.changed_ms),
        "local_code": machine.local.code,
        "missing": [list(span) for span in machine.missing],
        "late_count": machine.late_count,
    }


def _replacement(replacement: Replacement, *, is_revealed: bool = False) -> dict[str, Any]:
    def card(key: CardKey) -> str:
        issuer, number, sequence = key
        return f"{issuer} {number if is_revealed else masked(number)} {sequence}"

    return {
        "id": id_text(replacement.id),
        "phase": str(replacement.phase),
        "old_card": card(replacement.old),
        "new_card": card(replacement.new),
        "began_time": _time(replacement.began_ms),
        "ended_time": _time(replacement.ended_ms),
        "benefit_due_time": _time(replacement.benefit_due_ms),
        "is_alarmed": replacement.is_alarmed,
        "steps": [
            {
                "step": replacement_pb2.ReplacementStep.Name(step.step).removeprefix("REPLACEMENT_STEP_"),
                "phase": str(step.phase),
                "recipient": step.recipient,
                "attempt": step.attempt,
                "changed_time": _time(step.changed_ms),
                "reason": reason_name(step.reason) if step.reason else "",
                "local_id": step.local_id,
            }
            for step in replacement.steps
        ],
    }


def masked(text: str) -> str:
    """A number of which the last two characters are told, if it is long enough to tell nothing by them."""
    return f"***{text[-2:]}" if len(text) >= 6 else "***" if text else ""


def _time(time_ms: int) -> str:
    if not time_ms:
        return ""
    return shanghai_time(time_ms).isoformat(sep=" ", timespec="milliseconds")
