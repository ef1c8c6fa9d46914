"""How a call over the exchange fails."""

from __future__ import annotations

from onecard.exchange.v1 import message_pb2
from onecard_protocol.errors import OneCardError, from_rejection, policy
from onecard_protocol.messages import Message


class CallFailed(OneCardError):
    """A call has no reply: `reason` says why, and whether it is final.

    OUTCOME_UNKNOWN is never a failure: the message was or may have been sent. Query or reverse, never send it again
    under a new id; the same id may be asked for again.
    """

    def __init__(
        self,
        reason: int,
        detail: str = "",
        *,
        violations: tuple[tuple[str, str], ...] = (),
        retry_after_ms: int = 0,
        rejection: message_pb2.Rejection | None = None,
        answer: Message | None = None,
    ) -> None:
        super().__init__(reason, detail, violations=violations, retry_after_ms=retry_after_ms)
        self.rejection = rejection
        """The signed rejection's content, with the local system's code and text, if there is one."""
        self.answer = answer
        """The signed rejection as a message, verified."""

    @classmethod
    def by_rejection(cls, answer: Message) -> CallFailed:
        """The failure that a rejection tells."""
        rejection = message_pb2.Rejection.FromString(answer.payload)
        error = from_rejection(rejection)
        return cls(error.reason, error.detail, violations=error.violations, rejection=rejection, answer=answer)

    @classmethod
    def by_error(cls, error: OneCardError) -> CallFailed:
        """The failure of a refusal."""
        return cls(error.reason, error.detail, violations=error.violations, retry_after_ms=error.retry_after_ms)


def may_be_sent_again(error: OneCardError) -> bool:
    """Whether the same message may still succeed: it was refused before it was journaled, for a cause that passes.

    A signed rejection is final for its message, also where another message would be taken a moment later.
    """
    is_rejection = isinstance(error, CallFailed) and error.rejection is not None
    return policy(error.reason).retryable and not is_rejection
