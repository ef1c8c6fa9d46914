"""A cardholder as bytes, to be handed from a linked number to the primary one: JSON with a version, by the fields.

Owns form only. A field that equals its default is left out, so that a state of an earlier release is read as well.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from onecard_broker.domain.card_state import Card, Cardholder, LocalStatus, Machine, Replacement, Step

_VERSION: Final = 1


def encode_holder(holder: Cardholder) -> bytes:
    """A holder as bytes; equal holders give equal bytes."""
    return json.dumps(
        {"version": _VERSION, "holder": _fields(holder)}, separators=(",", ":"), sort_keys=True, ensure_ascii=False
    ).encode()


def decode_holder(data: bytes) -> Cardholder:
    """The holder of `encode_holder`; raises ValueError for a version that this release does not know."""
    value = json.loads(data)
    if value["version"] != _VERSION:
        raise ValueError(f"a cardholder of version {value['version']}; this release knows {_VERSION}")
    fields = value["holder"]
    return Cardholder(
        **fields
        | {
            "linked_from": tuple(fields.get("linked_from", ())),
            "followers": frozenset(fields.get("followers", ())),
            "cards": tuple(_card(card) for card in fields.get("cards", ())),
            "replacements": tuple(_replacement(replacement) for replacement in fields.get("replacements", ())),
        }
    )


def _fields(value: Any) -> dict[str, Any]:
    return {
        field.name: _plain(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != field.default
    }


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case frozenset():
            return sorted(value)
        case tuple():
            return [_plain(item) for item in value]
        case _:
            return _fields(value) if dataclasses.is_dataclass(value) else value


def _card(fields: Mapping[str, Any]) -> Card:
    replaces = fields.get("replaces")
    return Card(
        **dict(fields)
        | {
            "social": _machine(fields.get("social", {})),
            "financial": _machine(fields.get("financial", {})),
            "photo_digest": bytes.fromhex(fields.get("photo_digest", "")),
            "replaces": None if replaces is None else tuple(replaces),
        }
    )


def _machine(fields: Mapping[str, Any]) -> Machine:
    return Machine(
        **dict(fields)
        | {
            "digest": bytes.fromhex(fields.get("digest", "")),
            "local": LocalStatus(**fields.get("local", {})),
            "missing": tuple((first, last) for first, last in fields.get("missing", ())),
        }
    )


def _replacement(fields: Mapping[str, Any]) -> Replacement:
    return Replacement(
        **dict(fields)
        | {
            "id": bytes.fromhex(fields["id"]),
            "old": tuple(fields["old"]),
            "new": tuple(fields["new"]),
            "steps": tuple(_step(step) for step in fields["steps"]),
        }
    )


def _step(fields: Mapping[str, Any]) -> Step:
    return Step(**dict(fields) | {"asked_ids": tuple(bytes.fromhex(named) for named in fields.get("asked_ids", ()))})
