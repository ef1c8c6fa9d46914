"""Filings for the hospital's own province (2501, 2502): the core files, the destination is told (备案上报)."""

from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard.medical.v1.filing_pb2 import FileRequest, ReportFilingRequest, WithdrawFilingRequest
from onecard.medical.v1.filing_pb2_grpc import FilingServiceStub
from onecard_adapters.dialects.in_part import DESTINATION, OWN_CORE, executed_in_part
from onecard_adapters.dialects.infno import maps
from onecard_adapters.dialects.infno.desk import CALL_S, Call, CareDesk, content_key, core_msgid, invalid
from onecard_adapters.dialects.infno.envelope import Answer
from onecard_adapters.runtime.memory import Transaction
from onecard_protocol.errors import OneCardError
from onecard_protocol.identifiers import new_message_id, participant_of_area
from onecard_protocol.identity import normalise_identity

_FILED_AT_HOME: Final = "infno/filed-at-home"
_NO_DIGEST: Final = bytes(32)
_FILING: Final = "filing"
"""Attribute of a 2501: the filing that the core made of it."""
_TAKEN_BACK: Final = "taken_back"
"""Attribute of a filing: the message id of the 2502 by which the core took it back."""
_TOLD_AS: Final = "told_as"
"""Attribute of a 2502: the message that tells the destination, where its first one was not executed in time."""
_UNTOLD: Final = "untold"
"""Attribute of a filing that the destination was not told of."""
_TOLD_ANEW: Final = frozenset(
    {
        errors_pb2.ERROR_REASON_EXPIRED,
        errors_pb2.ERROR_REASON_NOT_EXECUTED,
        errors_pb2.ERROR_REASON_TOO_OLD_TO_TELL,
    }
)
_NOT_KNOWN: Final = frozenset({errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM, errors_pb2.ERROR_REASON_FILING_UNKNOWN})


class HomeFilings:
    """2501 and 2502 whose insured area lies in the own province."""

    def __init__(self, desk: CareDesk) -> None:
        self._desk = desk

    async def file(self, call: Call, asked: FileRequest) -> dict[str, Any]:
        """2501. Raises FILING_UNKNOWN for a repeat of one whose filing was taken back since."""
        desk = self._desk
        destination = participant_of_area(asked.filing.destination_area)
        if destination is None or desk.is_own(asked.filing.destination_area):
            raise invalid("input.refmedin.mdtrtarea_admdvs", "not an area of another province")
        content = content_key(call)
        async with desk.locks.hold(content):
            repeat = await desk.transaction(call, content, content=content)
            if (stored := desk.stored_answer(repeat)) is not None:
                return stored
            transaction = desk.two_sided.unfinished(repeat, unless=self._is_taken_back)
            if self._is_taken_back(transaction):
                raise _taken_back()
            answer = await self._ask_own_core(call, transaction)
            # It is filed already, whatever becomes of the rest.
            with executed_in_part("2501", at=OWN_CORE, left=DESTINATION):
                # The core adds the filing's id, and the identity by which the exchange keeps order.
                maps.FILED.read(answer.node("result"), asked, desk.tables, "output.result")
                normalise_identity(asked.person.kind.code, asked.person.number)
                told = ReportFilingRequest(
                    person=asked.person,
                    insured_number=asked.insured_number,
                    details=asked.details,
                    filing=asked.filing,
                    local_transaction_id=transaction.local_transaction_id,
                )
            async with desk.locks.hold(_lock_of(asked.filing.filing_id)):
                await desk.note(transaction, {_FILING: asked.filing.filing_id})
                filed = await self._remember(told, destination)
                if _TAKEN_BACK in filed.attributes:
                    raise _taken_back()
                with executed_in_part("2501", at=OWN_CORE, left=DESTINATION):
                    channel = desk.national.to(destination, message_id=transaction.message_id)
                    await FilingServiceStub(channel).ReportFiling(told, timeout=CALL_S)
                await desk.note(filed, {_UNTOLD: ""})
            output = {"result": {"trt_dcla_detl_sn": asked.filing.filing_id}}
            return await desk.finished(repeat, transaction, output)

    async def withdraw(self, call: Call, asked: WithdrawFilingRequest) -> dict[str, Any]:
        """2502. Raises FILING_UNKNOWN for a filing that this adapter was not asked for."""
        desk = self._desk
        filed = self._filed(asked.filing_id)
        if filed is None or filed.attributes["personal_number"] != asked.insured_number.personal_number:
            raise OneCardError(errors_pb2.ERROR_REASON_FILING_UNKNOWN, "no 2501 of this psn_no came to this adapter")
        asked.person.ParseFromString(bytes.fromhex(filed.attributes["person"]))
        asked.insured_number.insurance_area = call.request.insurance_area
        content = content_key(call)
        async with desk.locks.hold(_lock_of(asked.filing_id)):
            repeat = await desk.transaction(call, content, content=content)
            if (stored := desk.stored_answer(repeat)) is not None:
                return stored
            transaction = desk.two_sided.unfinished(repeat)
            asked.local_transaction_id = transaction.local_transaction_id
            await self._ask_own_core(call, transaction)
            await desk.note(filed, {_TAKEN_BACK: transaction.message_id.hex()})
            # It is taken back already, whatever the other province says to it.
            with executed_in_part("2502", at=OWN_CORE, left=DESTINATION):
                await self._tell_taken_back(transaction, asked, filed)
            return await desk.finished(repeat, transaction, {})

    async def _tell_taken_back(
        self, transaction: Transaction, asked: WithdrawFilingRequest, filed: Transaction
    ) -> None:
        """Tell the destination, by another message where the first was not executed in time, or is forgotten.

        The first one's time begins with the request: before the core's part, and before a repeat.
        """
        told_as = bytes.fromhex(transaction.attributes.get(_TOLD_AS, transaction.message_id.hex()))
        try:
            try:
                await self._tell(told_as, asked, filed)
            except OneCardError as error:
                if error.reason not in _TOLD_ANEW:
                    raise
                again = new_message_id(self._desk.national.hub_time_ms())
                await self._desk.note(transaction, {_TOLD_AS: again.hex()})
                await self._tell(again, asked, filed)
        except OneCardError as error:
            # What it was never told of it need not take back.
            if error.reason not in _NOT_KNOWN or not filed.attributes.get(_UNTOLD):
                raise

    async def _tell(self, message_id: bytes, asked: WithdrawFilingRequest, filed: Transaction) -> None:
        channel = self._desk.national.to(filed.attributes["destination"], message_id=message_id)
        await FilingServiceStub(channel).WithdrawFiling(asked, timeout=CALL_S)

    async def _ask_own_core(self, call: Call, transaction: Transaction) -> Answer:
        """The trade itself, under the number by which the core was or would have been asked first."""
        desk = self._desk
        async with desk.two_sided.first_side(transaction):
            return await desk.ask_core(call, call.request.infno, call.request.input, msgid=core_msgid(transaction))

    async def _remember(self, told: ReportFilingRequest, destination: str) -> Transaction:
        """So that a 2502, which names only the filing and psn_no, finds whose it is and who was told."""
        message_id = new_message_id(self._desk.national.hub_time_ms())
        attributes = {
            "destination": destination,
            "person": told.person.SerializeToString().hex(),
            "personal_number": told.insured_number.personal_number,
            _UNTOLD: "1",
        }
        return await self._desk.memory.remember_transaction(
            "", told.filing.filing_id, _NO_DIGEST, message_id, _FILED_AT_HOME, "", attributes
        )

    def _filed(self, filing_id: str) -> Transaction | None:
        known = self._desk.memory.find_transactions("", filing_id)
        return next((item for item in known if item.method == _FILED_AT_HOME), None)

    def _is_taken_back(self, transaction: Transaction, before: Transaction | None = None) -> bool:
        """Whether the core has taken back what it filed for this 2501, and, if one is given, before that other came."""
        filed = self._filed(transaction.attributes.get(_FILING, ""))
        taken_back = "" if filed is None else filed.attributes.get(_TAKEN_BACK, "")
        return bool(taken_back) and (before is None or taken_back < before.message_id.hex())


def _lock_of(filing_id: str) -> str:
    return f"filing/{filing_id}"


def _taken_back() -> OneCardError:
    return OneCardError(
        errors_pb2.ERROR_REASON_FILING_UNKNOWN, "2501 was executed by the own core and taken back by 2502 since"
    )
