"""The card office as seen from the adapter: one verb, and what its answer means."""

from __future__ import annotations

from typing import Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.connectors.http import LocalHttpClient
from onecard_adapters.dialects.card_strings import verbs, wire
from onecard_adapters.dialects.card_strings.settings import CardOfficeSettings
from onecard_adapters.dialects.card_strings.verbs import FORMS, Request, Verb
from onecard_adapters.dialects.card_strings.wire import Answer
from onecard_adapters.dialects.local_text import masked
from onecard_adapters.dialects.tagged_text import Table
from onecard_protocol.errors import OneCardError, OutcomeInDoubt

READING: Final = frozenset({Verb.STATUS, Verb.RECORD, Verb.BANK, Verb.PROGRESS, Verb.BATCH_DATA})
"""Verbs that change nothing."""


class OfficeRefusal(OneCardError):
    """The office did not do it; its words, free of long numbers, stand beside the reason."""

    def __init__(self, verb: Verb, err: str) -> None:
        super().__init__(errors_pb2.ERROR_REASON_REFUSED_BY_LOCAL_SYSTEM, f"{verb} was refused")
        self.local_text = masked(err)


class CardOfficeClient:
    """Asks one card office."""

    def __init__(self, http: LocalHttpClient, settings: CardOfficeSettings) -> None:
        self._http = http
        self._user = settings.user
        self._password = settings.password

    async def ask(self, verb: Verb, values: dict[str, str], table: Table | None = None) -> Answer:
        """One verb, done or done already.

        Raises OfficeRefusal; OneCardError where nothing was done; OutcomeInDoubt where a deed may have been done. Each
        verb may be asked again: what was done before is answered so.
        """
        request = Request(form=FORMS[verb], values=values, table=table)
        body = wire.encode(verbs.request_text(request, self._user, self._password.get_secret_value()))
        try:
            received = await self._http.post(body, content_type=wire.CONTENT_TYPE)
            answer = wire.read_answer(received.body)
        except OutcomeInDoubt as error:
            if verb not in READING:
                raise
            raise OneCardError(errors_pb2.ERROR_REASON_LOCAL_SYSTEM_DOWN, error.detail) from error
        except OneCardError as error:
            if verb not in READING and error.reason == errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID:
                raise OutcomeInDoubt(f"the answer to {verb} cannot be read: {error.detail}") from error
            raise
        if not answer.is_success:
            raise OfficeRefusal(verb, answer.err)
        return answer
