"""Removing the directory of a country that has just ended."""

import shutil
import time
from pathlib import Path

_ATTEMPT_COUNT = 50
_PAUSE_SECONDS = 0.1


def remove_directory(path: Path) -> None:
    """Remove a directory; a database that ends may still write into it for a moment, so more than once if need be."""
    for _ in range(_ATTEMPT_COUNT):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(_PAUSE_SECONDS)
