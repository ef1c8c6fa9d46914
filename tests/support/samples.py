"""The samples of real messages, bytes unchanged (tests/samples)."""

from pathlib import Path

_ROOT = Path(__file__).parent.parent / "samples"


def sample(name: str) -> bytes:
    """The bytes of one sample, such as `soap/gd-STYDJKService-req.xml`."""
    return (_ROOT / name).read_bytes()
