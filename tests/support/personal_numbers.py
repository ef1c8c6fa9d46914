"""Finding numbers of synthetic people where none may stand."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable

from onecard_stubs.population import Person


class PersonalNumbers:
    """Identity, personal, card and bank card numbers, recognition codes and telephones of people."""

    def __init__(self, people: Iterable[Person], *, others: Iterable[str] = ()) -> None:
        """`others` are further numbers, such as wrong ones that somebody typed in."""
        people = tuple(people)
        texts = {
            text
            for person in people
            for text in (
                person.identity_number,
                person.personal_number,
                person.card_number,
                person.card_recognition_code,
                person.bank_card_number,
            )
        }
        self._numbers = [text.encode() for text in sorted(texts | set(others))]
        # Short, and like the end of a longer transaction number.
        telephones = "|".join(person.telephone for person in people)
        self._telephones = re.compile(rf"(?<!\d)(?:{telephones})(?!\d)".encode())

    def found_in(self, data: bytes | str) -> list[str]:
        """The numbers in text or bytes, in any case of letters."""
        upper = (data.encode() if isinstance(data, str) else data).upper()
        found = [number.decode() for number in self._numbers if number.upper() in upper]
        return found + [match.decode() for match in self._telephones.findall(upper)]

    def found_in_base64(self, data: bytes) -> list[str]:
        """The numbers in what the bytes stand for, if they are Base64."""
        try:
            return self.found_in(base64.b64decode(data, validate=True))
        except binascii.Error:
            return []
