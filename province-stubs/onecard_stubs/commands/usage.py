"""What the commands of this part refuse on the command line, in both languages."""

from __future__ import annotations

from onecard_protocol.commands.usage import refuse
from onecard_protocol.explained import Text


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
