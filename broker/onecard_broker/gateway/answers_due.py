"""Answers that are due: the journal's next append waits a little for them.

A call goes through two appends, that of its request and that of its answer. An answer that comes some milliseconds
after an append waits a whole pause for the next one. So a gateway notes the requests that it delivers and how long
each recipient takes for them, and tells the log what is about to come. Nothing depends on it but time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from onecard.exchange.v1 import message_pb2
from onecard_broker.log.port import Log
from onecard_protocol.methods import Method
from onecard_protocol.smoothed import Smoothed

PROMPT_S_MAX: Final = 0.1
"""Who takes longer is waited for by nobody."""
UNANSWERED_S: Final = 5.0
"""What has no answer after this counts as answered now."""


class AnswersDue:
    """What was delivered through this gateway and is not answered yet. Everything runs on the event loop."""

    def __init__(self, journal: Log, methods: Mapping[str, Method]) -> None:
        """`journal` is told of answers that are about to come; `methods` by full name."""
        self._journal = journal
        self._methods = methods
        self._loop = asyncio.get_running_loop()
        self._delivered_s: OrderedDict[tuple[str, bytes], float] = OrderedDict()
        self._paces: dict[str, Smoothed] = {}

    def is_prompt(self, participant: str) -> bool:
        """Whether answers of a participant are waited for."""
        pace = self._paces.get(participant)
        return pace is not None and pace.within_s(1) <= PROMPT_S_MAX

    def delivered(self, recipient: str, method: str, header_bytes: bytes) -> None:
        """A message leaves for its recipient; `method` is its full name. What is no request has no answer."""
        known = self._methods.get(method)
        if known is None or not known.is_request:
            return
        header = message_pb2.MessageHeader.FromString(header_bytes)
        if header.kind != message_pb2.MESSAGE_KIND_REQUEST:
            return
        now_s = self._loop.time()
        self._let_go(now_s)
        request = recipient, header.id
        self._delivered_s[request] = now_s
        self._delivered_s.move_to_end(request)  # A stream that was opened anew brings it again.
        if self.is_prompt(recipient):
            self._journal.coming(request, within_s=self._paces[recipient].within_s(1))

    def answered(self, sender: str, request_id: bytes) -> None:
        """The answer to a request is about to be appended."""
        request = sender, request_id
        since_s = self._delivered_s.pop(request, None)
        if since_s is not None:
            self._took(sender, self._loop.time() - since_s)
            self._journal.came(request)

    def _took(self, participant: str, seconds: float) -> None:
        pace = self._paces.get(participant)
        if pace is None:
            self._paces[participant] = Smoothed(seconds, seconds / 2)
        else:
            pace.took(seconds)

    def _let_go(self, now_s: float) -> None:
        """Forget what was delivered long ago, the oldest of which stand first."""
        while self._delivered_s:
            request = next(iter(self._delivered_s))
            if now_s - self._delivered_s[request] < UNANSWERED_S:
                return
            del self._delivered_s[request]
            self._took(request[0], UNANSWERED_S)
            self._journal.came(request)
