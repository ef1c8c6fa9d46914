"""Files that another process waits for: they appear with all their content, or not at all. Each has one writer."""

from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Write a text so that nobody ever reads a part of it: beside the file first, then renamed over it."""
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
