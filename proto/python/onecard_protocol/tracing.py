"""The trace that work belongs to, by W3C Trace Context's `traceparent`.

It travels with a call of a local system into the header of the request that is made of it, and from a request's header
into the calls of the recipient's local system, so that one trace tells of both provinces.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Final

TRACEPARENT: Final = ContextVar("traceparent", default="")
"""Of what is being done; empty where it belongs to no trace."""

_FORM: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def is_traceparent(text: str) -> bool:
    """Whether it has the form of W3C Trace Context, section 3.2: no other text may travel in its place."""
    return _FORM.fullmatch(text) is not None


def continue_trace(traceparent: str) -> None:
    """What is done from here on in this context belongs to this trace, or to none if it is no traceparent."""
    TRACEPARENT.set(traceparent if is_traceparent(traceparent) else "")
