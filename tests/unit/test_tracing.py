"""What may stand where a trace is named."""

import pytest

from onecard_protocol.tracing import is_traceparent

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize("text", [f"00-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-00"])
def test_w3c_trace_contexts(text: str) -> None:
    assert is_traceparent(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-01\r\nX-Other: 1",
        "440101199001011234",
    ],
)
def test_what_is_none(text: str) -> None:
    """W3C Trace Context, section 3.2.2: version ff, a trace or a span of zeros, upper case, and all else."""
    assert not is_traceparent(text)
