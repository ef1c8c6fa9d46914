"""What others need to know of a country that runs: kept as country.json in its directory."""

import asyncio
import dataclasses
import json
import os
from pathlib import Path
from typing import NoReturn

import psutil

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text
from onecard_protocol.whole_files import write_whole

_FILE = "country.json"
_END_FILE = "ended.json"
_WATCH_SECONDS = 0.2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunningCountry:
    """Where the parts of a country are."""

    directory: Path
    log: str
    hub_config: Path
    places: dict[str, str]
    """By name of the process, where it listens."""
    adapter_urls: dict[str, str]
    """By participant, where its adapter serves the local systems of its province."""
    stub_urls: dict[str, str]
    """By participant, where its local system serves its adapter, and its controls under /control."""
    adapter_stores: dict[str, Path]
    """By participant, the file of its adapter's store."""
    owner_id: int = dataclasses.field(default_factory=os.getpid)
    """Pid of the process that all of them end with."""
    owner_started: float = dataclasses.field(default_factory=lambda: psutil.Process().create_time())
    """When that process started, in seconds since 1970: a pid may go to another program."""

    def log_files(self) -> list[Path]:
        """What the processes, the database and the brokers wrote about themselves."""
        own = self.directory.glob("*.log")
        brokers = (self.directory / "kafka").glob("broker-*/broker*.log")
        database = (self.directory / "postgres").glob("log*")
        return sorted(path for path in (*own, *brokers, *database) if path.is_file())

    def save(self) -> None:
        """Write it into the country's directory, where others wait for it."""
        text = json.dumps(dataclasses.asdict(self), default=str, indent=1)
        write_whole(self.directory / _FILE, text)

    def save_end(self, explanation: Explanation) -> None:
        """Write why the country ends, before the rest of it does."""
        write_whole(self.directory / _END_FILE, json.dumps(dataclasses.asdict(explanation)))

    async def watch(self) -> NoReturn:
        """Wait until it ends, then raise Explained as `check_runs`."""
        while True:
            self.check_runs()
            await asyncio.sleep(_WATCH_SECONDS)

    @classmethod
    def load(cls, directory: Path) -> "RunningCountry":
        """Read it from the country's directory, ended or not; raises Explained where no country ever ran."""
        file = directory / _FILE
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise _runs_not(directory, f"{file} does not exist") from None
        return cls(
            directory=Path(content["directory"]),
            log=content["log"],
            hub_config=Path(content["hub_config"]),
            places=content["places"],
            adapter_urls=content["adapter_urls"],
            stub_urls=content["stub_urls"],
            adapter_stores={name: Path(path) for name, path in content["adapter_stores"].items()},
            owner_id=content["owner_id"],
            owner_started=content["owner_started"],
        )

    def check_runs(self) -> None:
        """Raise Explained where its processes have ended, or are ended because one of them did: by what that was."""
        end = self.directory / _END_FILE
        if end.exists():
            told = json.loads(end.read_text(encoding="utf-8"))
            texts = {name: Text(**told[name]) for name in ("what", "remedy")}
            raise Explained(
                Explanation(**{**told, **texts, "why": tuple(told["why"]), "exit_code": ExitCode(told["exit_code"])})
            )
        try:
            owner = psutil.Process(self.owner_id)
            if abs(owner.create_time() - self.owner_started) < 1 and owner.status() != psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            pass
        raise _runs_not(
            self.directory,
            f"its `onecard dev up` (process {self.owner_id}) has ended"
            f" / 启动它的 `onecard dev up`（进程 {self.owner_id}）已退出",
        )


def _runs_not(directory: Path, why: str) -> Explained:
    return Explained(
        Explanation(
            what=Text(en=f"No country runs in {directory}.", zh=f"{directory} 中没有运行中的环境。"),
            why=(why,),
            remedy=Text(
                en="Start one with `onecard dev up`; it prints its directory.",
                zh="请先执行 `onecard dev up`，启动后会显示其目录。",
            ),
            exit_code=ExitCode.NOT_SET_UP,
        )
    )
