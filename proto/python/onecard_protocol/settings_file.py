"""A file of settings (YAML) as whoever wrote it reads it: what is wrong in it stands at its place in the file.

Owns reading such a file, the form of an address in it, where its paths start, and the words for what pydantic finds;
what the settings are is their models' business. No value of a setting stands in an error.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from types import EllipsisType, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ValidationError

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError, Violation
from onecard_protocol.yaml_text import read_yaml

_HOLDS_NONE: Final = "holds no settings / 没有配置项"
_PORT_MAX: Final = 65_535
_Settings = TypeVar("_Settings", bound=BaseModel)


def _address(text: str) -> str:
    found = re.fullmatch(r"[^:\s]+:([0-9]{1,5})", text)
    if found is None or int(found[1]) > _PORT_MAX:
        raise ValueError(
            f"is not host:port with a port from 0 to {_PORT_MAX} / 应为“主机:端口”，端口为 0 至 {_PORT_MAX}"
        )
    return text


Address = Annotated[str, AfterValidator(_address)]
"""host:port. gRPC takes a greater number for a port and binds what is left of it in 16 bits."""


def read_settings(file: Path) -> dict[str, Any]:
    """The content of the file.

    Raises OneCardError CONFIGURATION_INVALID: no such file, no YAML, a name that stands twice, or no settings.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8"
        raise _invalid(f"{file} cannot be read: {reason} / 无法读取") from None
    _, content = read_yaml(text, str(file))
    if not isinstance(content, dict):
        raise _invalid(f"{file} {_HOLDS_NONE}")
    return content


def with_absolute_paths(settings: _Settings, base: Path) -> _Settings:
    """The same settings; relative paths in them, in lists and in settings inside them too, start at a directory."""

    def absolute(value: Any) -> Any:
        match value:
            case Path():
                return base / value
            case tuple():
                return tuple(map(absolute, value))
            case BaseModel():
                names = type(value).model_fields
                return value.model_copy(update={name: absolute(getattr(value, name)) for name in names})
            case _:
                return value

    placed: _Settings = absolute(settings)
    return placed


def wrong_settings(file: Path, model: type[BaseModel], error: ValidationError) -> OneCardError:
    """CONFIGURATION_INVALID with each setting of the file that is not as its model wants it."""
    return _invalid(f"{file} is not valid / 配置有误", violations=violations_of(model, error))


def violations_of(model: type[BaseModel], error: ValidationError) -> list[Violation]:
    """(place, what is wrong) of each setting, such as ``("log.kafka", "is missing / 缺失")``."""
    found = []
    for details in error.errors(include_url=False, include_input=False, include_context=False):
        steps, holder = _walk(model, details["loc"])
        match details["type"]:
            case "missing":
                words = "is missing / 缺失"
            case "extra_forbidden":
                words = _unknown(steps[-1], holder)
            case "model_type":
                words = _HOLDS_NONE
            case "string_type":
                words = "is no text; a number is one in quotes / 不是文本；数字须加引号"
            case "value_error":
                words = details["msg"].removeprefix("Value error, ")  # What a model says itself.
            case _:
                words = f"{details['msg']} / 取值不符合要求"
        found.append((".".join(steps) or "the file", words))
    return found


def _unknown(name: str, holder: type[BaseModel] | None) -> str:
    meant = difflib.get_close_matches(name, holder.model_fields, n=1) if holder is not None else []
    english, chinese = (f"; did you mean '{meant[0]}'?", f"，是否应为 {meant[0]}？") if meant else ("", "")
    return f"unknown setting{english} / 未知配置项{chinese}"


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """The steps of pydantic's location that stand in the file, and the model that the last one is looked for in.

    Between a setting and what is in it pydantic also names which member of a union it took: no step of the file.
    """
    steps: list[str] = []
    holder: type[BaseModel] | None = None
    kinds = [model]
    for step in location:
        if step == "[key]":  # Of a mapping its key is wrong, not its value.
            continue
        if len(kinds) > 1:
            kinds = [kind for kind in kinds if _has_tag(kind, step)][:1]
            continue
        steps.append(str(step))
        inside: Any = None
        holder = None
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                holder = kind
                field = kind.model_fields.get(str(step))
                inside = None if field is None else field.annotation
            else:  # A tuple's or a mapping's values.
                inside = next((one for one in reversed(get_args(kind)) if not isinstance(one, EllipsisType)), None)
        kinds = kinds_of(inside)
    return steps, holder


def kinds_of(annotation: Any) -> list[Any]:
    """What a setting's value may be, apart from None."""
    if get_origin(annotation) is Annotated:
        return kinds_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [kind for member in get_args(annotation) for kind in kinds_of(member)]
    return [] if annotation in (None, NoneType) else [annotation]


def _has_tag(kind: Any, tag: int | str) -> bool:
    fields = getattr(kind, "model_fields", {}).values()
    return any(get_origin(field.annotation) is Literal and tag in get_args(field.annotation) for field in fields)


def _invalid(detail: str, *, violations: list[Violation] | None = None) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, detail, violations=violations or ())
