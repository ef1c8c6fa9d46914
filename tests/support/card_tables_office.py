"""A card office of Beijing with a desk, and what it is asked for."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from onecard.card.v1 import replacement_pb2, values_pb2
from onecard.exchange.v1 import values_pb2 as exchange_values_pb2
from onecard_adapters.connectors.database import local_now
from onecard_adapters.dialects.card_tables.office import CardTablesOffice, build_office
from tests.support.card_desk import DeskWorld, Registry, desk_world
from tests.support.card_tables import PERSON, card_settings


@contextlib.asynccontextmanager
async def office(
    tmp_path: Path, url: str, registry: Registry | None = None, *, store: str = "store", **changes: Any
) -> AsyncIterator[tuple[DeskWorld, CardTablesOffice]]:
    async with desk_world(tmp_path / f"{store}.sqlite", registry) as world:
        made = build_office(card_settings(tmp_path, url, **changes), "cn-11", world.desk, world.store)
        await made.start()
        try:
            yield world, made
        finally:
            await made.stop()


def local(seconds: int = 0) -> str:
    """The local system's time, so many seconds from now."""
    return f"{local_now() + datetime.timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}"


def asked_step(
    step: replacement_pb2.ReplacementStep = replacement_pb2.REPLACEMENT_STEP_OLD_SUPERSEDED,
    direction: replacement_pb2.StepDirection = replacement_pb2.STEP_DIRECTION_FORWARD,
    number: str = "A99000001",
    person: str = PERSON,
) -> replacement_pb2.CarryOutStepRequest:
    return replacement_pb2.CarryOutStepRequest(
        person=exchange_values_pb2.PersonIdentity(number=person),
        replacement_id="ab" * 16,
        step=step,
        direction=direction,
        old_card=values_pb2.CardReference(issuer="cn-11", number=number, sequence=1),
        new_card=values_pb2.CardReference(issuer="cn-11", number="A99000002", sequence=1),
    )
