"""Ends the processes of a country whose owner died, kill -9 included: the one process that nothing has to remember.

It reads lines from its standard input, which the owner holds open: `watch PID START SIGNAL`, `forget PID`,
`remove DIRECTORY`, `forget-all`. When the input ends, it signals every watched process, waits, kills what is left
and removes the directories. An owner that ends in order has told it to forget all before.
"""

import signal
import sys
from pathlib import Path

import psutil

from onecard_stubs.dev.removal import remove_directory

_GRACE_SECONDS = 10


def main() -> None:
    """Guard until the owner's end of the input closes."""
    # Whatever ends the owner at a terminal must not end its guard first.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watched: dict[int, tuple[float, int]] = {}
    directories: set[str] = set()
    for line in sys.stdin:
        match line.rstrip("\n").split(" ", 1):
            case ["watch", rest]:
                process_id, started, number = rest.split(" ")
                watched[int(process_id)] = float(started), int(number)
            case ["forget", rest]:
                watched.pop(int(rest), None)
            case ["remove", rest]:
                directories.add(rest)
            case ["forget-all"]:
                watched.clear()
                directories.clear()
    _end(watched)
    for directory in directories:
        remove_directory(Path(directory))


def _end(watched: dict[int, tuple[float, int]]) -> None:
    processes = []
    for process_id, (started, number) in watched.items():
        try:
            process = psutil.Process(process_id)
            # A pid may have gone to another program since.
            if abs(process.create_time() - started) < 1:
                process.send_signal(number)
                processes.append(process)
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(processes, _GRACE_SECONDS)
    for process in alive:
        process.kill()


if __name__ == "__main__":
    main()
