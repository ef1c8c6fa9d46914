"""Free ports of the loopback interface."""

import random
import socket

# Below those that systems lend to outgoing connections, any of which could take a port before its process binds it.
_PORTS = range(12_000, 32_000)


def free_ports(count: int) -> list[int]:
    """So many different ports of 127.0.0.1 that nobody listens on now."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        with socket.socket() as probe:
            # A port whose last connections are still being forgotten is free for whoever listens.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def is_listening(port: int) -> bool:
    """Whether somebody takes connections on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
