"""The programs that some tests need from the machine, and how a person gets them."""

from __future__ import annotations

import shutil

HOW_TO_GET = {
    "curl": "apt-get install curl (macOS has it)",
    "openssl": "apt-get install openssl (macOS: brew install openssl@3)",
    "java": "apt-get install default-jre-headless (macOS: brew install openjdk@17)",
    "mvn": "apt-get install maven (macOS: brew install maven)",
    "go": "Go 1.24 or newer: apt-get install golang-go from Debian 13 on (macOS: brew install go)",
    "grpcurl": "go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3, and put $(go env GOPATH)/bin on PATH",
}
"""Every program a test may name in `@pytest.mark.needs(...)`, with the command that installs it."""


def is_present(program: str) -> bool:
    """Whether the program is there."""
    if program not in HOW_TO_GET:
        raise ValueError(f"{program} is not in tests.support.machine.HOW_TO_GET")
    return shutil.which(program) is not None


def what_is_missing(programs: tuple[str, ...]) -> list[str]:
    """One line for each missing program: its name and the way to get it."""
    return [f"{program} is missing: {HOW_TO_GET[program]}" for program in programs if not is_present(program)]
