"""What a country on one machine is to consist of, and whether that can be."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text
from onecard_stubs.dev.provinces import PROVINCES

_NAME_ANOTHER = Text(en="Name an empty or new directory.", zh="请指定一个空目录或新目录。")


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryPlan:
    """What the country consists of."""

    log: Literal["embedded", "kafka"] = "embedded"
    broker_count: int = 1
    """Kafka brokers, 1 or 3; of no meaning on the embedded log."""
    provinces: tuple[str, ...] = ("cn-44", "cn-51")
    gateway_count: int = 1
    worker_count: int = 1
    runs_provinces: bool = True
    """Whether adapters and local systems run; a benchmark brings its own ends and takes only their configurations."""
    followers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Participants that get the changes of cards about residents of the provinces given, of everybody where none is."""

    def check(self) -> None:
        """Raise Explained for a plan that cannot be carried out."""
        unknown = [name for name in self.provinces if self.runs_provinces and name not in PROVINCES]
        if unknown:
            raise _refused(
                Text(
                    en=f"No local system speaks for {', '.join(unknown)}.",
                    zh=f"{', '.join(unknown)} 没有本地系统。",
                ),
                Text(en=f"Take some of {', '.join(PROVINCES)}.", zh=f"请从 {', '.join(PROVINCES)} 中选择。"),
            )


def check_directory(directory: Path) -> None:
    """Make the directory of a country; raises Explained if it is none, or holds anything."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise _refused(
            Text(
                en=f"A file stands where the directory {directory} is to be.",
                zh=f"目录 {directory} 的位置上已有文件。",
            ),
            _NAME_ANOTHER,
        ) from None
    if os.listdir(directory):
        raise _refused(
            Text(en=f"The directory {directory} is not empty.", zh=f"目录 {directory} 不是空目录。"),
            _NAME_ANOTHER,
        )


def _refused(what: Text, remedy: Text) -> Explained:
    return Explained(Explanation(what=what, remedy=remedy, exit_code=ExitCode.NOT_SET_UP))
