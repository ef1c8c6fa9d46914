"""What others need to know of a country that runs: kept as country.json in its directory."""

import dataclasses
import json
from pathlib import Path

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text
from onecard_protocol.whole_files import write_whole

_FILE = "country.json"


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

    @classmethod
    def load(cls, directory: Path) -> "RunningCountry":
        """Read it from the country's directory; raises Explained where no country runs."""
        file = directory / _FILE
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise Explained(
                Explanation(
                    what=Text(en=f"No country runs in {directory}.", zh=f"{directory} 中没有运行中的环境。"),
                    why=(f"{file} does not exist",),
                    remedy=Text(
                        en="Start one with `onecard dev up`; it prints its directory.",
                        zh="请先执行 `onecard dev up`，启动后会显示其目录。",
                    ),
                    exit_code=ExitCode.NOT_SET_UP,
                )
            ) from None
        return cls(
            directory=Path(content["directory"]),
            log=content["log"],
            hub_config=Path(content["hub_config"]),
            places=content["places"],
            adapter_urls=content["adapter_urls"],
            stub_urls=content["stub_urls"],
            adapter_stores={name: Path(path) for name, path in content["adapter_stores"].items()},
        )
