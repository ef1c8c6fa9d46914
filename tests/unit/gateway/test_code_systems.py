"""A gateway asks the registry which code systems there are, and waits for a database that hangs only so long."""

import asyncio

import pytest

from onecard.card.v1 import change_pb2
from onecard_broker.gateway import code_systems
from onecard_broker.gateway.code_systems import CodeSystems
from onecard_protocol import limits
from onecard_protocol.errors import OneCardError


class Registry:
    """Answers when it is let; counts how often it was asked."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.asked_count = 0

    async def code_systems(self) -> dict[tuple[str, str], str]:
        self.asked_count += 1
        await self.may_answer.wait()
        return {("known", ""): "cn-45"}


def naming(system: str) -> change_pb2.ReportSocialChangeRequest:
    report = change_pb2.ReportSocialChangeRequest()
    report.local_status.system = system
    return report


async def test_a_registry_that_hangs_keeps_no_report_and_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CARD_CODE_SYSTEMS_PER_PARTICIPANT_COUNT_MAX", 2)
    monkeypatch.setattr(code_systems, "PATIENCE_SECONDS", 0.05)
    registry = Registry()
    systems = CodeSystems(registry)

    await asyncio.gather(systems.check("cn-11", naming("a")), systems.check("cn-11", naming("b")))
    with pytest.raises(OneCardError, match="is new; a participant may bring in 2"):
        await systems.check("cn-11", naming("known"))
    registry.may_answer.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await systems.check("cn-11", naming("known"))
    assert registry.asked_count == 1
