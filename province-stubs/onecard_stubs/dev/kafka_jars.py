"""Where Kafka's jars come from: an existing installation, or Maven Central by the committed pom.xml.

Owns the cache of jars; knows nothing of running brokers.
"""

import asyncio
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

_POM = Path(__file__).with_name("pom.xml")
_FIX = {
    "java": "Kafka needs Java 17 or newer: `apt-get install default-jre-headless` on Debian, "
    "`brew install openjdk` with Homebrew",
    "mvn": "Kafka's jars are fetched with Maven: `apt-get install maven` on Debian, `brew install maven` with "
    "Homebrew; or set KAFKA_HOME to an unpacked Kafka",
}


class KafkaMissing(Exception):
    """A program or file that running Kafka needs is absent; the text says which, and which package brings it."""


def find_program(name: str) -> str:
    """Return the path of `java` or `mvn`; raises KafkaMissing with the package that brings it."""
    if name == "java" and (home := os.environ.get("JAVA_HOME")):
        candidate = Path(home) / "bin" / "java"
        if candidate.is_file():
            return str(candidate)
    found = shutil.which(name)
    if found is None:
        raise KafkaMissing(f"no `{name}` on the path. {_FIX[name]}")
    return found


def missing_programs() -> str | None:
    """Return why Kafka cannot run on this machine, or None when it can."""
    try:
        find_program("java")
        if _installation() is None and not _is_complete(_cache_directory()):
            find_program("mvn")
    except KafkaMissing as error:
        return str(error)
    return None


async def ensure_jars() -> Path:
    """Return a directory that holds Kafka's jars, fetching them at the first time.

    Raises KafkaMissing without Maven, or when Maven fails.
    """
    installation = _installation()
    if installation is not None:
        return installation
    directory = _cache_directory()
    if not _is_complete(directory):
        await _fetch(directory)
    return directory


def _installation() -> Path | None:
    for name in ("ONECARD_KAFKA_HOME", "KAFKA_HOME"):
        if home := os.environ.get(name):
            for directory in (Path(home) / "libs", Path(home)):
                if any(directory.glob("kafka_2.13-*.jar")):
                    return directory
            raise KafkaMissing(f"{name} is set to {home}, where there is no kafka_2.13-*.jar, nor in its libs")
    return None


def _cache_directory() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    # Another pom is another set of jars.
    return cache / "onecard" / f"kafka-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"


def _is_complete(directory: Path) -> bool:
    return directory.is_dir()


async def _fetch(directory: Path) -> None:
    find_program("java")  # Named first where both are missing: nothing goes without it.
    maven = find_program("mvn")
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Fetched beside and renamed when whole, so that two processes or an interruption leave no half cache.
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f"{directory.name}.") as temporary:
        jars = Path(temporary) / "jars"
        process = await asyncio.create_subprocess_exec(
            maven,
            "--batch-mode",
            "--quiet",
            "--file",
            str(_POM),
            "dependency:copy-dependencies",
            "-DincludeScope=runtime",
            f"-DoutputDirectory={jars}",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0 or not any(jars.glob("kafka_2.13-*.jar")):
            tail = output.decode(errors="replace").strip()[-2000:]
            raise KafkaMissing(f"Maven could not fetch Kafka's jars (is the network there?):\n{tail}")
        try:
            jars.rename(directory)
        except OSError:
            # Another process was faster.
            if not _is_complete(directory):
                raise
