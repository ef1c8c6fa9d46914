"""SM2 verification by tables: s·G and t·P each from multiples of its point, made once for each key.

`tongsuopy` checks each signature as if it had never seen the key, with 256 doublings. Tongsuo's own arithmetic can do
without (`EC_GROUP_precompute_mult`), which halves the time of a check (docs/performance.md, adr/0011); its library is
called for that directly. Only what is public comes here: none of this takes the same time for all numbers, so nothing
is ever signed with it.
"""

from __future__ import annotations

import ctypes
import functools
import threading
import types
from typing import Any, Final

from onecard_protocol.signatures.curve import ORDER, SCALAR_BYTES, check_public_key

_CURVE_NAME: Final = b"SM2"
# A table takes some 80 KB and as long to make as five to ten checks. 32 provinces have a few keys each.
_TABLES_MAX: Final = 256

_POINTER: Final = ctypes.c_void_p
_INT: Final = ctypes.c_int
_BYTES: Final = ctypes.c_char_p
# Results and arguments, as in OpenSSL's headers bn.h, ec.h, objects.h and err.h.
_QUICK: Final = {
    "OBJ_sn2nid": (_INT, _BYTES),
    "ERR_clear_error": (None,),
    "BN_CTX_new": (_POINTER,),
    "BN_CTX_free": (None, _POINTER),
    "BN_new": (_POINTER,),
    "BN_free": (None, _POINTER),
    "BN_bin2bn": (_POINTER, _BYTES, _INT, _POINTER),
    "BN_bn2binpad": (_INT, _POINTER, _BYTES, _INT),
    "EC_GROUP_new_by_curve_name": (_POINTER, _INT),
    "EC_GROUP_free": (None, _POINTER),
    "EC_GROUP_get0_order": (_POINTER, _POINTER),
    "EC_GROUP_get0_cofactor": (_POINTER, _POINTER),
    "EC_GROUP_set_generator": (_INT, _POINTER, _POINTER, _POINTER, _POINTER),
    "EC_POINT_new": (_POINTER, _POINTER),
    "EC_POINT_free": (None, _POINTER),
    "EC_POINT_is_at_infinity": (_INT, _POINTER, _POINTER),
    "EC_POINT_oct2point": (_INT, _POINTER, _POINTER, _BYTES, ctypes.c_size_t, _POINTER),
}
# These take long enough to let other threads run meanwhile.
_LONG: Final = {
    "EC_GROUP_precompute_mult": (_INT, _POINTER, _POINTER),
    "EC_POINT_mul": (_INT, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER),
    "EC_POINT_get_affine_coordinates": (_INT, _POINTER, _POINTER, _POINTER, _POINTER, _POINTER),
}


class _Library(types.SimpleNamespace):
    """The functions of libcrypto that are needed. Raises OSError or AttributeError where they cannot be had."""

    def __init__(self, path: str) -> None:
        super().__init__()
        for loaded, functions in ((ctypes.PyDLL(path), _QUICK), (ctypes.CDLL(path), _LONG)):
            for name, (result, *arguments) in functions.items():
                function = getattr(loaded, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)

    def done(self, result: Any) -> Any:
        """The result, unless it is null: what is asked for here fails only where memory does."""
        if not result:
            self.ERR_clear_error()
            raise MemoryError("libcrypto")
        return result


class _Table:
    """The curve with a point in place of its generator, and the table of that point's multiples."""

    def __init__(self, library: _Library, public_key: bytes | None) -> None:
        self._library = library
        self.group = library.done(library.EC_GROUP_new_by_curve_name(library.OBJ_sn2nid(_CURVE_NAME)))
        context = library.done(library.BN_CTX_new())
        try:
            if public_key is not None:
                self._take(public_key, context)
            library.done(library.EC_GROUP_precompute_mult(self.group, context))
        finally:
            library.BN_CTX_free(context)

    def _take(self, public_key: bytes, context: int) -> None:
        library, group = self._library, self.group
        point = library.done(library.EC_POINT_new(group))
        try:
            library.done(library.EC_POINT_oct2point(group, point, public_key, len(public_key), context))
            order, cofactor = library.EC_GROUP_get0_order(group), library.EC_GROUP_get0_cofactor(group)
            library.done(library.EC_GROUP_set_generator(group, point, order, cofactor))
        finally:
            library.EC_POINT_free(point)

    def __del__(self) -> None:
        if hasattr(self, "group"):
            self._library.EC_GROUP_free(self.group)


class _Workspace:
    """What one check at a time needs."""

    def __init__(self, library: _Library, group: int) -> None:
        self._library = library
        self.context = library.done(library.BN_CTX_new())
        self.nowhere, self.partial, self.sum = (library.done(library.EC_POINT_new(group)) for _ in range(3))
        self.zero, self.one, self.s, self.t, self.x = (library.done(library.BN_new()) for _ in range(5))
        library.done(library.BN_bin2bn(b"\x01", 1, self.one))
        self.x_bytes = ctypes.create_string_buffer(SCALAR_BYTES)

    def __del__(self) -> None:
        library = self._library
        for name, free in {
            **dict.fromkeys(("zero", "one", "s", "t", "x"), library.BN_free),
            **dict.fromkeys(("nowhere", "partial", "sum"), library.EC_POINT_free),
            "context": library.BN_CTX_free,
        }.items():
            if hasattr(self, name):
                free(getattr(self, name))


class TableVerifier:
    """Checks signatures of keys that are met again and again; threads may share it."""

    def __init__(self, path: str) -> None:
        """`path` is a shared library with libcrypto's functions. Raises OSError or AttributeError if it lacks them."""
        self._library = _Library(path)
        self._base = _Table(self._library, None)
        self._table_of = functools.lru_cache(_TABLES_MAX)(self._new_table)
        self._local = threading.local()

    def is_signed(self, public_key: bytes, digest: bytes, r: int, s: int) -> bool:
        """Whether (r, s), both in [1, n-1] with r+s ≠ n, signs the digest e (GB/T 32918.2, 7.1, steps B5 to B7).

        Raises ValueError if the public key is none.
        """
        library, table, work = self._library, self._table_of(public_key), self._workspace()
        t = (r + s) % ORDER
        library.done(library.BN_bin2bn(s.to_bytes(SCALAR_BYTES, "big"), SCALAR_BYTES, work.s))
        library.done(library.BN_bin2bn(t.to_bytes(SCALAR_BYTES, "big"), SCALAR_BYTES, work.t))
        # With a second point, here 0 times nothing, the table is used; alone the scalar is taken for a secret one.
        library.done(
            library.EC_POINT_mul(self._base.group, work.partial, work.s, work.nowhere, work.zero, work.context)
        )
        library.done(library.EC_POINT_mul(table.group, work.sum, work.t, work.partial, work.one, work.context))
        if library.EC_POINT_is_at_infinity(self._base.group, work.sum):
            return False
        library.done(library.EC_POINT_get_affine_coordinates(self._base.group, work.sum, work.x, None, work.context))
        library.BN_bn2binpad(work.x, work.x_bytes, SCALAR_BYTES)
        return (int.from_bytes(digest, "big") + int.from_bytes(work.x_bytes.raw, "big")) % ORDER == r

    def _new_table(self, public_key: bytes) -> _Table:
        check_public_key(public_key)
        return _Table(self._library, public_key)

    def _workspace(self) -> _Workspace:
        workspace: _Workspace | None = getattr(self._local, "workspace", None)
        if workspace is None:
            workspace = self._local.workspace = _Workspace(self._library, self._base.group)
        return workspace
