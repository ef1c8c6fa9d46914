"""The infno envelope: request and answer around the business fields, read from every form met, written in one.

Source: domain.md 1.5, samples/infno. Requests carry `input` as an object, "" or nothing; answers carry `output` as an
object, a text (cipher) or nothing, before or after the head, with infcode as number or text; failures also come in
two envelopes without infcode. Business fields are none of this module's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any, Final

from onecard.exchange.v1 import errors_pb2
from onecard_adapters.dialects.infno import json_text
from onecard_adapters.mapping.fields import is_absent, text_from
from onecard_protocol.china_time import read_ms, shanghai_time
from onecard_protocol.errors import OneCardError
from onecard_protocol.signatures.sm3 import sm3

ERR_MSG_CHARACTERS_MAX: Final = 200
SUCCESS: Final = "0"
# System level: the caller must query or reverse. Business level: show the text. The Chongqing convention (domain 1.5).
SYSTEM_ERROR: Final = "-1"
BUSINESS_ERROR: Final = "-2"

_HEAD_FIELDS: Final = (
    "infno msgid mdtrtarea_admvs insuplc_admdvs recer_sys_code dev_no dev_safe_info cainfo signtype infver opter_type "
    "opter opter_name inf_time fixmedins_code fixmedins_name sign_no"
).split()
_ANSWER_HEAD_FIELDS: Final = ("inf_refmsgid", "refmsg_time", "respond_time", "warn_msg", "signtype")
# Lengths as published, for the fields that we keep or look up by.
_LENGTHS: Final = {"infno": 6, "msgid": 30, "fixmedins_code": 12, "sign_no": 30, "insuplc_admdvs": 6}
_PLAIN_CHARACTERS_MAX: Final = 100
"""Texts of any field up to here, if its own length allows them, need no further check."""
_TOLD_CHARACTERS_MAX: Final = 2_000
_SECONDS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as received. `head` holds every envelope field as text, "" where absent or the word null."""

    head: Mapping[str, str]
    input: Mapping[str, Any]
    digest: bytes
    """SM3 of the received bytes: 2 and 2.00 are two requests, because the sender sent two."""

    @property
    def infno(self) -> str:
        """The trade number."""
        return self.head["infno"]

    @property
    def msgid(self) -> str:
        """The sender's transaction number."""
        return self.head["msgid"]

    @property
    def institution_code(self) -> str:
        """The institution that asks (fixmedins_code)."""
        return self.head["fixmedins_code"]

    @property
    def insurance_area(self) -> str:
        """The person's insurance area (insuplc_admdvs)."""
        return self.head["insuplc_admdvs"]

    def node(self, *names: str) -> Mapping[str, Any]:
        """The object under the first of these names; the input itself where clients leave the node out.

        Raises LOCAL_FORM_INVALID if there is something else than an object.
        """
        for name in names:
            inner = self.input.get(name)
            if inner is not None:
                if not isinstance(inner, dict):
                    raise _invalid(f"input.{name}", "not an object")
                return inner
        return self.input

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """The objects of the list under `name`; one object counts as a list of one, nothing as an empty list."""
        return _rows(self.input.get(name), f"input.{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as received."""

    code: str
    """infcode as text; the foreign envelopes' code, "failed" where they give none."""
    text: str
    """What the local system says (err_msg, message, msg)."""
    head: Mapping[str, str]
    output: Mapping[str, Any] | str | None
    """The business fields; a text where the sender encrypted them; None where there is none."""

    @property
    def is_success(self) -> bool:
        """Whether the trade succeeded: infcode 0, as number or text."""
        return self.code == SUCCESS

    def node(self, *names: str) -> Mapping[str, Any]:
        """The object under the first of these names in the output, the output itself if none is there."""
        output = self._object()
        for name in names:
            inner = output.get(name)
            if inner is not None:
                if not isinstance(inner, dict):
                    raise _invalid(f"output.{name}", "not an object")
                return inner
        return output

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """The objects of the list under `name`; one object counts as a list of one, nothing as an empty list."""
        return _rows(self._object().get(name), f"output.{name}")

    def _object(self) -> Mapping[str, Any]:
        if isinstance(self.output, str):
            raise _invalid("output", "a text, probably a cipher, where the trade needs an object")
        return self.output or {}


def _invalid(path: str, problem: str) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_LOCAL_FORM_INVALID, f"{path}: {problem}")


def _rows(value: object, path: str) -> list[Mapping[str, Any]]:
    if value is None or value == "":
        return []
    rows: list[Any] = value if isinstance(value, list) else [value]
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise _invalid(f"{path}[{index}]", "not an object")
    return rows


def _head_text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if type(value) is str and len(value) <= _LENGTHS.get(name, _PLAIN_CHARACTERS_MAX):
        text = value.strip()
        return "" if text == "null" else text
    text = "" if is_absent(value) else text_from(value, name).strip()
    if len(text) > _LENGTHS.get(name, len(text)):
        raise _invalid(name, f"longer than {_LENGTHS[name]} characters")
    return text


def _told(fields: Mapping[str, Any], name: str) -> str:
    """What a core says beside its code: cut where it is endless, nothing where it is no text. The code stands."""
    value = fields.get(name)
    if isinstance(value, str):
        value = value[:_TOLD_CHARACTERS_MAX]
    elif isinstance(value, dict | list | bool):
        return ""
    return _head_text({name: value}, name)


def parse_request(body: bytes) -> Request:
    """Read a request. Raises LOCAL_FORM_INVALID for what is no envelope, or has no infno or msgid."""
    fields = json_text.parse_object(body)
    head = {name: _head_text(fields, name) for name in _HEAD_FIELDS}
    for name in ("infno", "msgid"):
        if not head[name]:
            raise _invalid(name, "missing")
    content = fields.get("input")
    if is_absent(content):
        content = {}
    if not isinstance(content, dict):
        raise _invalid("input", "not an object")
    return Request(head=head, input=content, digest=sm3(body))


def parse_answer(body: bytes) -> Answer:
    """Read an answer in any of the three envelopes. Raises LOCAL_FORM_INVALID for anything else."""
    fields = json_text.parse_object(body, mends_halves=True)
    head = {name: _told(fields, name) for name in _ANSWER_HEAD_FIELDS}
    if "infcode" in fields:
        return _own_envelope(fields, head)
    # The two envelopes of gateways (samples resp-1162, resp-gateway-error): only ever met with failures, and a success
    # without infcode would have no business fields, so it is none.
    for text_name in ("message", "msg"):
        if text_name in fields:
            code = _head_text(fields, "code") or "failed"
            return Answer(
                code=code if code != SUCCESS else "failed",
                text=_told(fields, text_name),
                head=head,
                output=None,
            )
    raise _invalid("infcode", "missing, and the envelope is none that is known")


def _own_envelope(fields: Mapping[str, Any], head: Mapping[str, str]) -> Answer:
    code = _head_text(fields, "infcode")
    if not code:
        raise _invalid("infcode", "empty")
    output = fields.get("output")
    if output is not None and not isinstance(output, dict | str):
        raise _invalid("output", "neither an object nor a text")
    return Answer(
        code=code,
        text=_told(fields, "err_msg"),
        head=head,
        output=None if output == "" else output,
    )


class ReferenceNumbers:
    """Makes inf_refmsgid: receiver area 6 + time 14 + sequence 10 (domain.md 1.5)."""

    def __init__(self, area: str) -> None:
        self._area = area
        self._numbers = count(1)

    def next(self, now_ms: int) -> str:
        """The next number, 30 characters."""
        return f"{self._area}{compact_time(now_ms)[:14]}{next(self._numbers) % 10**10:010d}"


def compact_time(time_ms: int) -> str:
    """yyyyMMddHHmmssSSS, 17 digits, in China's time."""
    second, millisecond = divmod(time_ms, 1_000)
    return f"{_second_text(second)}{millisecond:03d}"


@lru_cache(_SECONDS_MAX)
def _second_text(second: int) -> str:
    return f"{shanghai_time(second * 1_000):%Y%m%d%H%M%S}"


def clock_time(time_ms: int) -> str:
    """yyyy-MM-dd HH:mm:ss in China's time."""
    return _clock_text(time_ms // 1_000)


@lru_cache(_SECONDS_MAX)
def _clock_text(second: int) -> str:
    return f"{shanghai_time(second * 1_000):%Y-%m-%d %H:%M:%S}"


def time_ms_of(value: object, path: str) -> int:
    """ms since 1970 of "yyyy-MM-dd HH:mm:ss" in China's time."""
    try:
        return read_ms(text_from(value, path).strip(), "%Y-%m-%d %H:%M:%S")
    except ValueError as error:
        raise _invalid(path, "not a time") from error


def build_answer(
    *, code: str, text: str, output: Mapping[str, Any] | None, refmsgid: str, asked_ms: int, now_ms: int
) -> bytes:
    """An answer in the form of most samples: infcode a number, every head field there."""
    return json_text.write(
        {
            "infcode": int(code),
            "inf_refmsgid": refmsgid,
            "refmsg_time": compact_time(asked_ms),
            "respond_time": compact_time(now_ms),
            "enctype": "",
            "signtype": "",
            "warn_msg": "",
            "cainfo": "",
            "err_msg": text[:ERR_MSG_CHARACTERS_MAX],
            "output": output,
        }
    ).encode()


def build_request(head: Mapping[str, str], content: Mapping[str, Any]) -> bytes:
    """A request with every head field, "" where `head` names none."""
    return json_text.write({**{name: head.get(name, "") for name in _HEAD_FIELDS}, "input": content}).encode()
