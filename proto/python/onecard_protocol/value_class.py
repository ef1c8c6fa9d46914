"""Immutable values that are made by the thousand a second.

To the type checker a value class is a frozen dataclass: nobody may assign to it. At run time it is an ordinary one,
whose making costs two fifths (0.64 against 1.58 µs for seven fields): a frozen dataclass sets each of its fields by a
call. Hash and equality are by the fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as value_class
else:
    import dataclasses

    def value_class(*, frozen, **options):
        """`dataclasses.dataclass` with the same options; `frozen` must be True and is the type checker's business."""
        if frozen is not True:
            raise TypeError("a value class is frozen")
        return dataclasses.dataclass(unsafe_hash=True, **options)


__all__ = ["value_class"]
