"""What commands refuse on the command line, in both languages."""

from __future__ import annotations

from typing import NoReturn

from onecard_protocol.explained import ExitCode, Explained, Explanation, Text
from onecard_protocol.identifiers import id_from_text


def refuse(what: Text, option: str, command: str) -> NoReturn:
    """Raise Explained: the command line is wrong at this option of `onecard COMMAND`."""
    refuse_with(what, to_correct(option, command))


def to_correct(option: str, command: str) -> Text:
    """What to do about this option of `onecard COMMAND`."""
    return Text(
        en=f"Correct {option}; `onecard {command} --help` tells more.",
        zh=f"请更正 {option}；用法见 `onecard {command} --help`。",
    )


def refuse_with(what: Text, remedy: Text) -> NoReturn:
    """Raise Explained: the command line is wrong, and no option of it alone is to be corrected."""
    raise Explained(Explanation(what=what, remedy=remedy, exit_code=ExitCode.USAGE))


def typed_id(text: str, command: str) -> bytes:
    """The id that stands on the command line, of a message or a replacement. Raises Explained where it is none."""
    found = id_from_text(text)
    if found is None:
        refuse(Text(en="This is no id: 32 hex digits.", zh="不是编号：应为 32 位十六进制数。"), "ID", command)
    return found
