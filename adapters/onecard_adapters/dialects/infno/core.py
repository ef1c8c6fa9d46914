"""Calls of a province's core system by infno over HTTP.

Owns the request head, the reading of success and failure, and what a failure means: a refusal with the core's own code
and text, or an outcome in doubt. Knows no trade.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.infno.envelope import Answer, build_request, clock_time, parse_answer
from onecard_adapters.dialects.infno.settings import CoreSettings
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

LOCAL_SYSTEM: Final = "infno"
_CONTENT_TYPE: Final = "application/json; charset=utf-8"
_TEXT_CHARACTERS_MAX: Final = 200
_IN_DOUBT: Final = frozenset(
    {
        errors_pb2.ERROR_REASON_OUTCOME_UNKNOWN,
        errors_pb2.ERROR_REASON_HELD,
        errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL,
        errors_pb2.ERROR_REASON_INTERNAL,
    }
)
# Identity numbers (15, 18), personal numbers and bank cards: a local text may quote them.
_LONG_NUMBER: Final = re.compile(r"\d{11,}[\dXx]?")


def masked(text: str) -> str:
    """A local system's text without the long numbers in it, at most 200 characters."""
    return _LONG_NUMBER.sub("***", text)[:_TEXT_CHARACTERS_MAX]


def is_in_doubt(error: OneCardError) -> bool:
    """Whether what was asked may have been, or may still be, executed: never to be treated as a failure."""
    return error.reason in _IN_DOUBT


@contextmanager
def executed(what: str) -> Iterator[None]:
    """Around the handling of an answer that says the other side acted.

    What fails then is no refusal of the trade: it stands, and its outcome is in doubt to whoever asked until table or
    system are put right and it is asked for again.
    """
    try:
        yield
    except OneCardError as error:
        raise OutcomeInDoubt(f"{what} was executed; its answer cannot be taken over: {error}") from error


class LocalRefusal(OneCardError):
    """The core refused a trade: its own code and (masked) text stand beside the reason."""

    def __init__(self, infno: str, code: str, text: str) -> None:
        super().__init__(
            errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM,
            f"trade {infno} was refused with {code}" + ("" if text else ", without a text"),
        )
        self.local_code = code
        self.local_text = masked(text)


class CoreClient:
    """The core of one province."""

    def __init__(self, settings: CoreSettings, http: LocalHttpClient) -> None:
        self._settings = settings
        self._http = http

    async def call(
        self,
        infno: str,
        content: Mapping[str, Any],
        head: Mapping[str, str],
        *,
        now_ms: int,
        has_effect: bool,
    ) -> Answer:
        """One trade. `head` gives msgid, areas and institution.

        Raises LocalRefusal, LOCAL_SYSTEM_DOWN (nothing was executed), LOCAL_FORM_INVALID (a trade without effect was
        answered in no known form), and OutcomeInDoubt for a trade with effect that may have been executed.
        """
        body = build_request(
            {
                "recer_sys_code": self._settings.receiver_code,
                "infver": self._settings.interface_version,
                "opter_type": "2",
                "opter": "onecard",
                "opter_name": "onecard",
                "inf_time": clock_time(now_ms),
                **head,
                "infno": infno,
            },
            content,
        )
        try:
            received = await self._http.post(body, content_type=_CONTENT_TYPE)
            answer = parse_answer(received.body)
        except OutcomeInDoubt as error:
            if has_effect:
                raise
            raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, error.detail) from error
        except OneCardError as error:
            # The answer to a trade with effect that cannot be read does not say that nothing happened.
            if has_effect and error.reason == errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID:
                raise OutcomeInDoubt(f"the answer to {infno} cannot be read: {error.detail}") from error
            raise
        if answer.is_success:
            return answer
        if has_effect and answer.code in self._settings.codes_in_doubt:
            raise OutcomeInDoubt(f"the core answered {infno} with {answer.code}, which does not say whether it acted")
        raise LocalRefusal(infno, answer.code, answer.text)
