"""The settings of a program, from its file and from the variables of the environment that stand above the file.

``ONECARD_GATEWAY__LISTEN`` gives the hub's ``gateway: {listen: …}``. As a name that is none is refused in the file, so
is a variable that nothing of ours reads: a misspelt one would leave what stands in the file, unseen.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError
from onecard_protocol.settings_file import kinds_of, read_settings, violations_of, with_absolute_paths

HUB, ADAPTER = "ONECARD_", "ONECARD_ADAPTER_"
"""How the variables of a hub and of an adapter begin; both may stand in one environment."""

_OTHERS: Final = frozenset(
    {"ONECARD_ADAPTER_CONFIG", "ONECARD_CONFIG", "ONECARD_DEBUG", "ONECARD_KAFKA_HOME", "ONECARD_KEY_PASSPHRASE"}
)
"""Variables of ours that are no settings."""

_SERVICE_LINK: Final = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""What Kubernetes puts into the environment for a service of whatever name, such as onecard-gateway."""

_LIKENESS: Final = 0.75


class ProgramSettings(BaseSettings):
    """What a process of ours must be told; a model of it names the beginning of its variables (`env_prefix`)."""

    model_config = SettingsConfigDict(env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables stand above the file, whose content comes as the initial values."""
        return env_settings, init_settings


_Settings = TypeVar("_Settings", bound=ProgramSettings)


def load_settings(file: Path, model: type[_Settings]) -> _Settings:
    """Read a program's settings; relative paths in them start at the file's own directory.

    Raises OneCardError CONFIGURATION_INVALID that names each setting and each variable at fault, without its value.
    """
    content = read_settings(file)
    prefix = model.model_config["env_prefix"]
    known = dict(_variables(model, prefix))
    given = {name.upper(): name for name in os.environ if name.upper().startswith(HUB)}
    wrong = {given[name]: _unknown(name, known) for name in given if _is_unknown(name, prefix, known)}
    wrong |= {
        given[name]: "is no JSON / 不是合法的 JSON" for name in given if _is_no_json(given[name], known.get(name))
    }
    try:
        settings = model(**content)
    except SettingsError:
        if not wrong:
            raise
    except ValidationError as error:
        for place, words in violations_of(model, error):
            variable = given.get(prefix + place.replace(".", "__").upper())
            wrong.setdefault(variable or place, words)
    if wrong:
        detail = f"{file} is not valid / 配置有误"
        if not wrong.keys().isdisjoint(given.values()):
            detail = f"{file} and the variables of the environment are not valid together / 配置文件与环境变量有误"
        raise OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, detail, violations=list(wrong.items()))
    return with_absolute_paths(settings, file.resolve().parent)


def _variables(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, list[Any]]]:
    """The variable of each setting, and what its value may be."""
    for name, field in model.model_fields.items():
        kinds = kinds_of(field.annotation)
        yield prefix + name.upper(), kinds
        for kind in kinds:
            if _is_model(kind):
                yield from _variables(kind, f"{prefix}{name.upper()}__")


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_unknown(name: str, prefix: str, known: dict[str, list[Any]]) -> bool:
    """Whether a variable is meant for this program, and is none of its own; of others' this program knows nothing."""
    is_adapters = bool(difflib.get_close_matches(name.split("_")[1], ["ADAPTER"], cutoff=_LIKENESS))
    if is_adapters != (prefix == ADAPTER):
        return False
    return name not in known and name not in _OTHERS and _SERVICE_LINK.fullmatch(name) is None


def _unknown(name: str, known: dict[str, list[Any]]) -> str:
    behind = {other.removeprefix(HUB): other for other in (*known, *_OTHERS)}
    meant = difflib.get_close_matches(name.removeprefix(HUB), behind, n=1, cutoff=_LIKENESS)
    english, chinese = (
        (f"; did you mean {behind[meant[0]]}?", f"，是否应为 {behind[meant[0]]}？") if meant else ("", "")
    )
    return f"unknown variable{english} / 未知环境变量{chinese}"


def _is_no_json(variable: str, kinds: list[Any] | None) -> bool:
    """Whether a variable's value must be JSON, of a list or of several settings at once, and is not."""
    if not kinds or not any(_is_model(kind) or get_origin(kind) is tuple for kind in kinds):
        return False
    try:
        json.loads(os.environ[variable])
    except ValueError:
        return True
    return False
