"""Calls of a province's core system by infno over HTTP.

Owns the request head, the sign-in, the reading of success and failure, and what a failure means: a refusal with the
core's own code and text, or an outcome in doubt. Knows no trade but 9001 and 9002.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.infno.envelope import Answer, build_request, clock_time, parse_answer
from onecard_adapters.dialects.infno.numbers import next_transaction_number
from onecard_adapters.dialects.infno.settings import CoreSettings, SignInSettings
from onecard_adapters.dialects.infno.trades import SIGN_IN, SIGN_OUT
from onecard_adapters.dialects.local_text import masked
from onecard_adapters.mapping.fields import text_from
from onecard_adapters.runtime.memory import EdgeMemory
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

LOCAL_SYSTEM: Final = "infno"
_CONTENT_TYPE: Final = "application/json; charset=utf-8"
_OPERATOR: Final = "onecard"
_SIGN_IN_S: Final = 5.0
"""Less than a trade may take: who waits in vain learns that the trade was not asked for."""

_log = logging.getLogger(__name__)


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

    def __init__(self, settings: CoreSettings, http: LocalHttpClient, memory: EdgeMemory) -> None:
        self._settings = settings
        self._http = http
        self._memory = memory
        self._sign_no = ""
        self._sign_out_msgid = ""
        self._signing_in: asyncio.Task[str] | None = None
        http.before_close(self._sign_out)

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
        sign_in = self._settings.sign_in
        if sign_in is None:
            answer = await self._post(infno, content, head, now_ms, has_effect=has_effect)
        else:
            answer = await self._signed_in(sign_in, infno, content, head, now_ms, has_effect=has_effect)
        if answer.is_success:
            return answer
        if has_effect and answer.code in self._settings.codes_in_doubt:
            raise OutcomeInDoubt(f"the core answered {infno} with {answer.code}, which does not say whether it acted")
        raise LocalRefusal(infno, answer.code, answer.text)

    async def _signed_in(
        self,
        sign_in: SignInSettings,
        infno: str,
        content: Mapping[str, Any],
        head: Mapping[str, str],
        now_ms: int,
        *,
        has_effect: bool,
    ) -> Answer:
        """The trade under a sign_no; where the core says that it has ended, once more under a new one."""
        for _ in range(2):
            sign_no = await self._current_sign_no(sign_in, now_ms)
            answer = await self._post(infno, content, {**head, "sign_no": sign_no}, now_ms, has_effect=has_effect)
            if answer.code not in sign_in.ended_codes:
                return answer
            if self._sign_no == sign_no:
                self._sign_no = ""
        raise OneCardError(
            errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, f"the core answers {answer.code} to a sign-in that it just gave"
        )

    async def _current_sign_no(self, sign_in: SignInSettings, now_ms: int) -> str:
        """The sign_no of all trades; 9001 where there is none, asked once by all who wait for it, also in vain."""
        if self._sign_no:
            return self._sign_no
        if self._signing_in is None:
            self._signing_in = asyncio.create_task(self._sign_in(sign_in, now_ms))
            self._signing_in.add_done_callback(self._end_signing_in)
        # Whoever gives up waiting does not end it for the others.
        return await asyncio.shield(self._signing_in)

    def _end_signing_in(self, task: asyncio.Task[str]) -> None:
        self._signing_in = None
        if not task.cancelled():
            task.exception()  # Looked at, although nobody may wait any more.

    async def _sign_in(self, sign_in: SignInSettings, now_ms: int) -> str:
        # Both numbers now: at the end, when the adapter signs out, its store is closed.
        msgid = await next_transaction_number(self._memory, sign_in.code, now_ms)
        self._sign_out_msgid = await next_transaction_number(self._memory, sign_in.code, now_ms)
        content = {"signIn": {"opter_no": _OPERATOR, "mac": "", "ip": ""}}
        head = self._own_head(sign_in, msgid)
        try:
            async with asyncio.timeout(_SIGN_IN_S):
                answer = await self._post(SIGN_IN, content, head, now_ms, has_effect=False)
            if answer.is_success:
                self._sign_no = text_from(answer.node("signinoutb").get("sign_no"), "signinoutb.sign_no")
        except TimeoutError:
            raise OneCardError(
                errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, f"sign-in: no answer within {_SIGN_IN_S:g} s"
            ) from None
        except OneCardError as error:
            # Whatever is wrong with the sign-in, the trade itself was not asked for.
            raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, f"sign-in: {error.detail}") from error
        if not self._sign_no:
            raise OneCardError(
                errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, f"the core answered the sign-in with {answer.code}"
            )
        return self._sign_no

    async def _sign_out(self) -> None:
        """9002, when the client is closed."""
        if self._signing_in is not None:
            self._signing_in.cancel()
        sign_in, sign_no = self._settings.sign_in, self._sign_no
        if sign_in is None or not sign_no:
            return
        self._sign_no = ""
        content = {"signOut": {"opter_no": _OPERATOR, "sign_no": sign_no}}
        head = {**self._own_head(sign_in, self._sign_out_msgid), "sign_no": sign_no}
        answer = await self._post(SIGN_OUT, content, head, time.time_ns() // 1_000_000, has_effect=False)
        if not answer.is_success:
            _log.warning("the core answered the sign-out with %s", answer.code)

    @staticmethod
    def _own_head(sign_in: SignInSettings, msgid: str) -> dict[str, str]:
        area = sign_in.code[1:7]
        return {"msgid": msgid, "mdtrtarea_admvs": area, "insuplc_admdvs": area, "fixmedins_code": sign_in.code}

    async def _post(
        self, infno: str, content: Mapping[str, Any], head: Mapping[str, str], now_ms: int, *, has_effect: bool
    ) -> Answer:
        """The answer, whatever it says; raises as `call` does where there is none."""
        body = build_request(
            {
                "recer_sys_code": self._settings.receiver_code,
                "infver": self._settings.interface_version,
                "opter_type": "2",
                "opter": _OPERATOR,
                "opter_name": _OPERATOR,
                "inf_time": clock_time(now_ms),
                **head,
                "infno": infno,
            },
            content,
        )
        try:
            received = await self._http.post(body, content_type=_CONTENT_TYPE)
            return parse_answer(received.body)
        except OutcomeInDoubt as error:
            if has_effect:
                raise
            raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, error.detail) from error
        except OneCardError as error:
            # The answer to a trade with effect that cannot be read does not say that nothing happened.
            if has_effect and error.reason == errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID:
                raise OutcomeInDoubt(f"the answer to {infno} cannot be read: {error.detail}") from error
            raise
