"""Two processes that look for free ports at the same time are given different ones."""

import functools
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from onecard_stubs.dev import free_ports as module
from onecard_stubs.dev.free_ports import free_ports

_A_PROCESS = 10

_OTHER = """
import sys
from onecard_stubs.dev import free_ports as module

module._PORTS = range({start}, {stop})
module._PORTS_A_PROCESS = {a_process}
print(*module.free_ports(3), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> range:
    """Ports for two processes, out of those that are this one's; nothing was drawn from them yet."""
    first = min(free_ports(2 * _A_PROCESS))
    ports = range(first, first + 2 * _A_PROCESS)
    monkeypatch.setattr(module, "_PORTS", ports)
    monkeypatch.setattr(module, "_PORTS_A_PROCESS", _A_PROCESS)
    monkeypatch.setattr(module, "_own_ports", functools.cache(module._own_ports.__wrapped__))
    return ports


@pytest.fixture
def other_ports(ports: range) -> Iterator[list[int]]:
    """Those that another process was given, which lives on and does not listen there."""
    with _other_process(ports) as process:
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]


def test_another_process_is_given_other_ports_although_nobody_listens_there(other_ports: list[int]) -> None:
    own = free_ports(5) + free_ports(4)
    assert len(other_ports) == 3
    assert set(own).isdisjoint(other_ports)


@pytest.mark.usefixtures("other_ports")
def test_a_third_process_is_told_that_none_is_left(ports: range) -> None:
    free_ports(1)
    with _other_process(ports) as third:
        _, error = third.communicate()
    assert "only 0 of 3 were free" in error


@pytest.mark.usefixtures("ports")
def test_a_port_comes_again_only_after_all_others() -> None:
    drawn = free_ports(6) + free_ports(3)
    assert len(set(drawn)) == _A_PROCESS - 1
    assert free_ports(1) == drawn[:1]


@pytest.mark.usefixtures("ports")
def test_a_port_on_which_somebody_listens_is_passed_over() -> None:
    first, second, *_ = free_ports(_A_PROCESS - 1)
    with socket.create_server(("127.0.0.1", first)):
        assert free_ports(1) == [second]


@pytest.mark.usefixtures("ports")
def test_more_ports_than_a_process_may_have_are_refused() -> None:
    with pytest.raises(OSError, match="only 9 of 10 were free"):
        free_ports(_A_PROCESS)


def _other_process(ports: range) -> subprocess.Popen[str]:
    code = _OTHER.format(start=ports.start, stop=ports.stop, a_process=_A_PROCESS)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
