"""How far a long command has come: a bar for each of its steps, on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextlib.contextmanager
def progress_bars(steps: Mapping[str, str]) -> Iterator[Callable[[str, int, int | None], None]]:
    """Gives what to tell: the step, how much of it is done, and of how much where that is known."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as bars:
        tasks = {step: bars.add_task(text, total=None, start=False) for step, text in steps.items()}

        def tell(step: str, done: int, total: int | None) -> None:
            bars.start_task(tasks[step])
            bars.update(tasks[step], completed=done, total=total)

        yield tell
