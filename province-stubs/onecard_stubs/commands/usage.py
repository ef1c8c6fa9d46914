"""What the commands of this part refuse on the command line, in both languages."""

from __future__ import annotations

from collections.abc import Container

from onecard_protocol.commands.usage import refuse, refuse_with
from onecard_protocol.explained import Text
from onecard_stubs.scenarios.result import Scenario


def check_brokers(log: str, count: int, command: str) -> None:
    """Refuse a number of Kafka brokers that cannot be run on one machine, or that nothing would come of."""
    if count not in (1, 3):
        refuse(
            Text(en="Kafka runs with 1 broker or with 3 here.", zh="Kafka 只支持 1 个或 3 个代理。"),
            "--brokers",
            command,
        )
    if log == "embedded" and count != 1:
        refuse(Text(en="The embedded log has no brokers.", zh="内嵌日志没有代理。"), "--log / --brokers", command)


def check_provinces(scenario: Scenario, present: Container[str], remedy: Text) -> None:
    """Refuse a drill that needs more than those who are present."""
    missing = ", ".join(name for name in scenario.provinces if name not in present)
    if missing:
        refuse_with(Text(en=f"The scenario needs {missing} too.", zh=f"该演练还需要 {missing}。"), remedy)
