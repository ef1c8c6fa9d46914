"""Columns as binary arrays for ``unnest(%b, …)``: built by the array, not item by item as psycopg builds a list.

Knows the wire form of PostgreSQL's one-dimensional arrays (array_recv in its sources) and nothing of any table.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Final

from psycopg import AsyncConnection, DataError
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BOOL, _BYTEA, _INT8, _INT2, _INT4, _TEXT, _UUID = 16, 17, 20, 21, 23, 25, 2950
_NULL: Final = struct.pack("!i", -1)
_SHORT: Final = 4096
_LENGTHS: Final = tuple(struct.pack("!i", length) for length in range(_SHORT))


class BinaryArray(bytes):
    """An array in PostgreSQL's binary form."""

    __slots__ = ()


class BoolArray(BinaryArray):
    """boolean[]."""

    __slots__ = ()


class Int2Array(BinaryArray):
    """smallint[]."""

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


class UuidArray(BinaryArray):
    """uuid[]."""

    __slots__ = ()


def int2s(values: Sequence[int]) -> Int2Array:
    """smallint[]; a number of more than 16 bits is a DataError, as the server would say."""
    return Int2Array(_head(_INT2, len(values)) + _fixed([_to_bytes(value, 2) for value in values], 2))


def int4s(values: Sequence[int]) -> Int4Array:
    """int[]; a number of more than 32 bits is a DataError."""
    # Each item stands behind its length, which is a number of the same size.
    items = array("i", [4]) * (2 * len(values))
    try:
        items[1::2] = array("i", values)
    except OverflowError:
        raise DataError("a number is out of the range of its column") from None
    if struct.pack("=i", 1) != struct.pack("!i", 1):
        items.byteswap()
    return Int4Array(_head(_INT4, len(values)) + items.tobytes())


def int8s(values: Sequence[int]) -> Int8Array:
    """bigint[]; a number of more than 64 bits is a DataError."""
    return Int8Array(_head(_INT8, len(values)) + _fixed([_to_bytes(value, 8) for value in values], 8))


def bools(values: Sequence[bool]) -> BoolArray:
    """boolean[]."""
    return BoolArray(_head(_BOOL, len(values)) + _fixed([b"\1" if value else b"\0" for value in values], 1))


def uuids(values: Sequence[bytes]) -> UuidArray:
    """uuid[] of 16 bytes each."""
    return UuidArray(_head(_UUID, len(values)) + _fixed(values, 16))


def texts(values: Sequence[str | None]) -> TextArray:
    """text[]; None is NULL."""
    items = [None if value is None else value.encode() for value in values]
    return TextArray(_head(_TEXT, len(values), has_null=None in items) + framed(items))


def byteas(values: Sequence[bytes | None]) -> ByteaArray:
    """bytea[]; None is NULL."""
    return ByteaArray(_head(_BYTEA, len(values), has_null=None in values) + framed(values))


def _head(element_oid: int, count: int, *, has_null: bool = False) -> bytes:
    if not count:
        return struct.pack("!iiI", 0, 0, element_oid)
    return struct.pack("!iiIii", 1, has_null, element_oid, count, 1)


def _to_bytes(value: int, size: int) -> bytes:
    try:
        return value.to_bytes(size, "big", signed=True)
    except OverflowError:
        raise DataError("a number is out of the range of its column") from None


def _fixed(items: Sequence[bytes], size: int) -> bytes:
    length = _LENGTHS[size]
    return b"".join([length + item for item in items])


def framed(items: Sequence[bytes | None]) -> bytes:
    """Items of any length, each behind its length; None is NULL. Also the form of fields in binary COPY."""
    try:
        return b"".join([part for item in items for part in (_LENGTHS[len(item)], item)])  # type: ignore[arg-type,misc]
    except (TypeError, IndexError):  # NULLs and long ones are few, and take the longer way.
        pass
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


class _BoolArrayDumper(_ArrayDumper):
    oid = 1000


class _Int2ArrayDumper(_ArrayDumper):
    oid = 1005


class _UuidArrayDumper(_ArrayDumper):
    oid = 2951


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
        (BoolArray, _BoolArrayDumper),
        (Int2Array, _Int2ArrayDumper),
        (UuidArray, _UuidArrayDumper),
        (Int4Array, _Int4ArrayDumper),
        (Int8Array, _Int8ArrayDumper),
        (TextArray, _TextArrayDumper),
        (ByteaArray, _ByteaArrayDumper),
    ):
        connection.adapters.register_dumper(array_class, dumper)
