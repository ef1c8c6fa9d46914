"""Who may send and receive a method: its policy names the roles, the directory each participant's share of them.

The hub needs no line in the directory, which it signs itself: what it may do stands in the policies alone.
"""

from __future__ import annotations

from onecard_broker.directory.model import Directory
from onecard_protocol.identifiers import HUB, role_of
from onecard_protocol.methods import Method


def may_send(participant: str, method: Method, directory: Directory) -> bool:
    """Whether a participant may ask or tell by the method."""
    if role_of(participant) not in method.policy.senders:
        return False
    return participant == HUB or directory.may_send(participant, method.name)


def may_receive(participant: str, method: Method, directory: Directory) -> bool:
    """Whether the method may go to a participant."""
    if role_of(participant) not in method.policy.recipients:
        return False
    return participant == HUB or directory.may_receive(participant, method.name)


def may_give_up(participant: str, method: Method, directory: Directory) -> bool:
    """Whether a participant may have got a message of the method: its own, one for it, or one that was published."""
    if participant == HUB:
        return False
    is_published_to = method.is_published and directory.may_receive(participant, method.name)
    return is_published_to or may_send(participant, method, directory) or may_receive(participant, method, directory)
