"""What the commands of this part refuse on the command line, in both languages."""

from __future__ import annotations

from typing import NoReturn

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text


def refuse(what: Text, option: str, command: str) -> NoReturn:
    """Raise Explained: the command line is wrong at this option of `onecard COMMAND`."""
    raise Explained(
        Explanation(
            what=what,
            remedy=Text(en=f"Correct {option}; `onecard {command} --help` tells more.", zh=f"请更正 {option}。"),
            exit_code=ExitCode.USAGE,
        )
    )


def check_brokers(count: int, command: str) -> None:
    """Refuse a number of Kafka brokers that cannot be run on one machine."""
    if count not in (1, 3):
        refuse(
            Text(en="Kafka runs with 1 broker or with 3 here.", zh="Kafka 只支持 1 个或 3 个代理。"),
            "--brokers",
            command,
        )
