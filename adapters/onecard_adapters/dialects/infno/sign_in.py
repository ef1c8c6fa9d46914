"""Sign-in and sign-out (9001, 9002): who has a sign_no may trade.

Sign-ins are kept in the adapter's memory as transactions under their sign_no, so a restart disturbs no cashier.
"""

import secrets
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.infno import trades
from onecard_adapters.dialects.infno.desk import Call, CareDesk, required_text
from onecard_adapters.dialects.infno.envelope import clock_time
from onecard_adapters.runtime.memory import Transaction
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import new_message_id
from onecard_protocol.signatures.sm3 import sm3

_METHOD: Final = "infno/sign_no"
_STATE: Final = "state"
_OPEN: Final = "open"
_CLOSED: Final = "closed"
_KNOWN_OPEN_MAX: Final = 4_096


class SignIns:
    """The sign-ins of all institutions."""

    def __init__(self, desk: CareDesk) -> None:
        self._desk = desk
        # Every trade asks, and nobody else closes one.
        self._known_open: set[tuple[str, str]] = set()

    async def sign_in(self, call: Call) -> dict[str, Any]:
        """9001: a new sign_no."""
        desk = self._desk
        transaction = await desk.transaction(call)
        if (stored := desk.stored_answer(transaction)) is not None:
            return stored
        now_ms = desk.national.hub_time_ms()
        sign_no = f"{now_ms // 1_000:010d}{secrets.randbelow(10**8):08d}"
        await desk.memory.remember_transaction(
            call.institution.code, sign_no, sm3(sign_no.encode()), new_message_id(now_ms), _METHOD, "", {_STATE: _OPEN}
        )
        return await desk.answered(transaction, {"signinoutb": {"sign_no": sign_no, "sign_time": clock_time(now_ms)}})

    async def sign_out(self, call: Call) -> dict[str, Any]:
        """9002: closes the sign_no; one that is closed already is closed."""
        desk = self._desk
        sign_no = required_text(call.request.node("signOut", "data"), "sign_no", "input.signOut")
        sign_in = self._find(call, sign_no)
        if sign_in is None:
            raise OneCardError(errors_pb2.ERROR_REASON_SIGN_IN_REQUIRED, "this sign_no was never given")
        await desk.note(sign_in, {_STATE: _CLOSED})
        self._known_open.discard((call.institution.code, sign_no))
        return {"signinoutb": {"sign_no": sign_no, "sign_time": clock_time(desk.national.hub_time_ms())}}

    def check(self, call: Call) -> None:
        """SIGN_IN_REQUIRED for a trade without an open sign_no, where the profile asks for one."""
        if call.request.infno in (trades.SIGN_IN, trades.SIGN_OUT) or not self._desk.settings.requires_sign_in:
            return
        key = call.institution.code, call.request.head["sign_no"]
        if key in self._known_open:
            return
        sign_in = self._find(call, call.request.head["sign_no"])
        if sign_in is None or sign_in.attributes.get(_STATE) != _OPEN:
            raise OneCardError(errors_pb2.ERROR_REASON_SIGN_IN_REQUIRED, "sign_no is missing, unknown or signed out")
        if len(self._known_open) >= _KNOWN_OPEN_MAX:
            self._known_open.clear()
        self._known_open.add(key)

    def _find(self, call: Call, sign_no: str) -> Transaction | None:
        if not sign_no:
            return None
        found = self._desk.memory.find_transactions(call.institution.code, sign_no)
        return next((item for item in found if item.method == _METHOD), None)
