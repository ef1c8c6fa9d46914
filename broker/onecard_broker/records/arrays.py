"""Columns as binary arrays for ``unnest(%b, …)``: built by the array, not item by item as psycopg builds a list.

Knows the wire form of PostgreSQL's one-dimensional arrays (array_recv in its sources) and nothing of any table.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from psycopg import AsyncConnection
from psycopg.adapt import Dumper
from psycopg.pq import Format

_INT4, _INT8, _TEXT, _BYTEA = 23, 20, 25, 17
_NULL: Final = struct.pack("!i", -1)
_SHORT: Final = 4096
_LENGTHS: Final = tuple(struct.pack("!i", length) for length in range(_SHORT))
_INT8_LENGTH: Final = struct.pack("!i", 8)


class BinaryArray(bytes):
    """An array in PostgreSQL's binary form."""

    __slots__ = ()


class Int4Array(BinaryArray):
    """int[]."""

    __slots__ = ()


class Int8Array(BinaryArray):
    """bigint[]."""

    __slots__ = ()


class TextArray(BinaryArray):
    """text[]."""

    __slots__ = ()


class ByteaArray(BinaryArray):
    """bytea[]."""

    __slots__ = ()


def int4s(values: Sequence[int]) -> Int4Array:
    """int[] of numbers of 32 bits."""
    # Each item stands behind its length, which is a number of the same size.
    items = array("i", [4]) * (2 * len(values))
    items[1::2] = array("i", values)
    if struct.pack("=i", 1) != struct.pack("!i", 1):
        items.byteswap()
    return Int4Array(_head(_INT4, len(values)) + items.tobytes())


def int8s(values: Sequence[int]) -> Int8Array:
    """bigint[]."""
    return Int8Array(
        _head(_INT8, len(values)) + b"".join([_INT8_LENGTH + value.to_bytes(8, "big", signed=True) for value in values])
    )


def texts(values: Sequence[str | None]) -> TextArray:
    """text[]; None is NULL."""
    items = [None if value is None else value.encode() for value in values]
    return TextArray(_head(_TEXT, len(values), has_null=None in items) + _framed(items))


def byteas(values: Sequence[bytes | None]) -> ByteaArray:
    """bytea[]; None is NULL."""
    return ByteaArray(_head(_BYTEA, len(values), has_null=None in values) + _framed(values))


def _head(element_oid: int, count: int, *, has_null: bool = False) -> bytes:
    if not count:
        return struct.pack("!iiI", 0, 0, element_oid)
    return struct.pack("!iiIii", 1, has_null, element_oid, count, 1)


def _framed(items: Iterable[bytes | None]) -> bytes:
    parts: list[bytes] = []
    add = parts.append
    for item in items:
        if item is None:
            add(_NULL)
            continue
        length = len(item)
        add(_LENGTHS[length] if length < _SHORT else struct.pack("!i", length))
        add(item)
    return b"".join(parts)


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> bytes:
        return obj


class _Int4ArrayDumper(_ArrayDumper):
    oid = 1007


class _Int8ArrayDumper(_ArrayDumper):
    oid = 1016


class _TextArrayDumper(_ArrayDumper):
    oid = 1009


class _ByteaArrayDumper(_ArrayDumper):
    oid = 1001


def register(connection: AsyncConnection[object]) -> None:
    """Let the connection's cursors, as far as they are not open yet, send these arrays."""
    for array_class, dumper in (
        (Int4Array, _Int4ArrayDumper),
        (Int8Array, _Int8ArrayDumper),
        (TextArray, _TextArrayDumper),
        (ByteaArray, _ByteaArrayDumper),
    ):
        connection.adapters.register_dumper(array_class, dumper)
