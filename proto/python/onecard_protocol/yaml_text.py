"""YAML as this project reads it, whatever stands in it: one loader, that takes no name twice.

YAML itself takes the last of two equal names in silence, which would drop a setting, a code or a participant unseen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml

from onecard.exchange.v1 import errors_pb2
from onecard_protocol.errors import OneCardError, Violation

# libyaml reads the same language eight times as fast, where PyYAML was built with it, as its wheels are.
_BASE: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The content of a node; one that is none, such as a date that no calendar has, is told with its line."""
        try:
            return super().construct_object(node, deep)
        except ValueError:
            raise yaml.MarkedYAMLError(problem_mark=node.start_mark) from None


def read_yaml(text: str, name: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a YAML text, which know their lines, and its content.

    Raises OneCardError CONFIGURATION_INVALID that begins with what the text is called: it is no YAML, or names stand
    twice in it, told by their lines. Nothing of a value stands in the error.
    """
    try:
        loader = _Loader(text)
        try:
            root: yaml.Node | None = loader.get_single_node()
            wrong = [] if root is None else list(_twice(root, set()))
            content = None if root is None or wrong else loader.construct_document(root)
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        raise _invalid(f"{name} is no YAML{place} / 不是合法的 YAML") from None
    if wrong:
        raise _invalid(f"{name} is not valid / 内容有误", wrong)
    return root, content


def _twice(node: yaml.Node, seen: set[int]) -> Iterator[Violation]:
    """The names that stand twice; what an alias repeats is looked at once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        names = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in names:
                    yield f"line {key.start_mark.line + 1}, {key.value}", "stands there twice / 重复出现"
                names.add((key.tag, key.value))
            yield from _twice(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _twice(value, seen)


def _invalid(detail: str, violations: list[Violation] | None = None) -> OneCardError:
    return OneCardError(errors_pb2.ERROR_REASON_CONFIGURATION_INVALID, detail, violations=violations or ())
