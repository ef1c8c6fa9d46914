"""Child processes of a country: started with a log file each, signalled by pid, guarded against their owner's death."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text

PROGRAM = (sys.executable, "-m", "onecard_protocol.cli")
"""The program `onecard` of this very installation."""

COMMANDS_IN_TURN = (sys.executable, "-m", "onecard_stubs.dev.commands_in_turn")
"""The same for several commands, given as one JSON argument."""

_KEPT = {"ONECARD_DEBUG", "ONECARD_KAFKA_HOME"}
_TAIL_LINES = 15
_POLL_SECONDS = 0.05


def inherited_environment() -> dict[str, str]:
    """This process's variables without those that would stand above the children's configuration files."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ONECARD_") or name in _KEPT}


async def run_program(*arguments: str, typed: str = "") -> tuple[int, bytes, bytes]:
    """Run `onecard …` to its end: exit code, output and errors. It gets `typed` as input, and ends with who waits."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=inherited_environment(),
    )
    try:
        output, errors = await process.communicate(typed.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output, errors


class Guard:
    """The process that ends what is left when this one dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start guarding."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "onecard_stubs.dev.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def watch(self, process_id: int, ending: signal.Signals = signal.SIGTERM) -> None:
        """End this process, by this signal first, if its owner dies."""
        try:
            started = psutil.Process(process_id).create_time()
        except psutil.NoSuchProcess:
            return
        self._say(f"watch {process_id} {started} {int(ending)}")

    def forget(self, process_id: int) -> None:
        """The process has ended."""
        self._say(f"forget {process_id}")

    def forget_all(self) -> None:
        """All has ended in order, and the directory is the owner's."""
        self._say("forget-all")

    def remove(self, directory: Path) -> None:
        """Remove this directory if its owner dies."""
        self._say(f"remove {directory}")

    def stop(self) -> None:
        """Let go; whatever was not forgotten is ended now."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
            self._process = None

    def _say(self, line: str) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


class ChildProcess:
    """One process of the country, which can be started again after it ended or was killed."""

    def __init__(
        self, name: str, arguments: Sequence[str], *, log_file: Path, guard: Guard, program: Sequence[str] = PROGRAM
    ) -> None:
        """`arguments` follow the program, which is `onecard` itself where no other is named."""
        self.name = name
        self.arguments = tuple(arguments)
        self.log_file = log_file
        self._guard = guard
        self._program = tuple(program)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def process_id(self) -> int | None:
        """Its pid while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def exit_code(self) -> int | None:
        """With what it ended; None before."""
        return None if self._process is None else self._process.returncode

    async def start(self) -> None:
        """Start it; its output goes to the end of its log file."""
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._program,
                *self.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=inherited_environment(),
                # Ctrl-C at a terminal goes to the owner, which ends the country in order.
                start_new_session=True,
            )
        self._guard.watch(self._process.pid)

    async def run(self) -> None:
        """Start it and wait for its end; raises Explained unless that is success."""
        await self.start()
        assert self._process is not None
        code = await self._process.wait()
        self._guard.forget(self._process.pid)
        if code != 0:
            raise self.failure()

    async def wait_until(self, is_ready: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Wait for readiness; raises Explained with the log's end if it ends before or takes longer."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await is_ready():
            if self.process_id is None or asyncio.get_running_loop().time() > deadline:
                raise self.failure()
            await asyncio.sleep(_POLL_SECONDS)

    async def terminate(self, grace_seconds: float = 10) -> None:
        """End it in order, and by force when it takes longer than the grace."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), grace_seconds)
        except TimeoutError:
            await self.kill()
        self._guard.forget(self._process.pid)

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._guard.forget(self._process.pid)

    def pause(self) -> None:
        """Stop it (SIGSTOP), as a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def tail(self) -> list[str]:
        """The last lines of its log."""
        return _tail(self.log_file)

    def failure(self) -> Explained:
        """What to tell a person when it did not do what it must."""
        code = None if self._process is None else self._process.returncode
        if code is None:
            how = Text(en="does not get ready", zh="未能就绪")
        elif code < 0:
            how = Text(en=f"was ended by signal {-code} ({signal.strsignal(-code)})", zh=f"被信号 {-code} 终止")
        else:
            how = Text(en=f"ended with exit code {code}", zh=f"已退出，退出码 {code}")
        return process_failure(
            self.name,
            how,
            self.log_file,
            command=(shlex.join(("onecard", *self.arguments)),),
            exit_code=ExitCode.NOT_SET_UP if code in {2, 3} else ExitCode.UNREACHABLE,
        )

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)


async def run_in_turn(commands: Sequence[Sequence[str]], *, log_file: Path, guard: Guard) -> None:
    """Run several commands one after the other; raises Explained with the log's end where one fails."""
    process = ChildProcess(
        log_file.stem, [json.dumps(commands)], log_file=log_file, guard=guard, program=COMMANDS_IN_TURN
    )
    try:
        await process.run()
    finally:
        await process.kill()


def process_failure(
    name: str,
    how: Text,
    log_file: Path,
    *,
    command: tuple[str, ...] = (),
    exit_code: ExitCode = ExitCode.UNREACHABLE,
) -> Explained:
    """What to tell a person of a process that did not do what it must: how, the end of its log, and where that is."""
    return Explained(
        Explanation(
            what=Text(en=f"The process {name} {how.en}.", zh=f"进程 {name} {how.zh}。"),
            why=(*command, *_tail(log_file)),
            remedy=Text(en=f"Its whole log: {log_file}", zh=f"完整日志：{log_file}"),
            exit_code=exit_code,
        )
    )


def _tail(log_file: Path) -> list[str]:
    if not log_file.exists():
        return []
    return log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
