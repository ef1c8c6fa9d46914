"""Free ports of the loopback interface."""

import functools
import itertools
import random
import socket
from collections.abc import Iterator

# Below those that systems lend to outgoing connections, any of which could take a port before its process binds it.
_PORTS = range(12_000, 32_000)
# More than a country of all provinces needs.
_PORTS_A_PROCESS = 200


def free_ports(count: int) -> list[int]:
    """So many ports of 127.0.0.1 that nobody listens on now, and that no other process is given while this one lives.

    A process binds its port seconds after it was chosen here, so a port that is free now is not enough.

    Raises:
        OSError: a process may have fewer than these, or others listen on too many of them.
    """
    found = list(itertools.islice(filter(_is_free, itertools.islice(_own_ports(), _PORTS_A_PROCESS - 1)), count))
    if len(found) < count:
        raise OSError(f"of the ports from {_PORTS.start} to {_PORTS.stop - 1} only {len(found)} of {count} were free")
    return found


def is_listening(port: int) -> bool:
    """Whether somebody takes connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@functools.cache
def _own_ports() -> Iterator[int]:
    """The ports of one block, again and again; whoever holds a block's first port draws from it."""
    blocks = range(_PORTS.start, _PORTS.stop, _PORTS_A_PROCESS)
    for first in random.sample(blocks, len(blocks)):
        with socket.socket() as claim:
            try:
                claim.bind(("127.0.0.1", first))
            except OSError:
                continue
            yield from itertools.cycle(range(first + 1, first + _PORTS_A_PROCESS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # A port whose last connections are still being forgotten is free for whoever listens.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
