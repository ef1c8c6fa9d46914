"""SM2 in plain numbers, as GB/T 32918.2 writes it, for any curve, user ID and nonce: slow, and only for tests.

It shares nothing with the product: its SM3 is gmssl's.
"""

from __future__ import annotations

from gmssl import sm3

from tests.vectors.national import Curve

Point = tuple[int, int] | None
"""Affine coordinates; None is infinity."""


def digest(data: bytes) -> bytes:
    return bytes.fromhex(sm3.sm3_hash(list(data)))


def add(curve: Curve, left: Point, right: Point) -> Point:
    if left is None:
        return right
    if right is None:
        return left
    if left[0] == right[0]:
        if (left[1] + right[1]) % curve.p == 0:
            return None
        slope = (3 * left[0] ** 2 + curve.a) * pow(2 * left[1], -1, curve.p)
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, curve.p)
    x = (slope * slope - left[0] - right[0]) % curve.p
    return x, (slope * (left[0] - x) - left[1]) % curve.p


def multiply(curve: Curve, factor: int, point: Point) -> Point:
    result: Point = None
    while factor:
        if factor & 1:
            result = add(curve, result, point)
        point = add(curve, point, point)
        factor >>= 1
    return result


def base(curve: Curve) -> Point:
    return curve.x, curve.y


def z_of(curve: Curve, user_id: bytes, public: tuple[int, int]) -> bytes:
    numbers = (curve.a, curve.b, curve.x, curve.y, *public)
    return digest(
        (len(user_id) * 8).to_bytes(2, "big") + user_id + b"".join(number.to_bytes(32, "big") for number in numbers)
    )


def sign_digest(curve: Curve, private: int, e: int, nonce: int) -> tuple[int, int]:
    """(r, s); raises ValueError where the standard takes another nonce."""
    point = multiply(curve, nonce, base(curve))
    assert point is not None
    r = (e + point[0]) % curve.n
    s = pow(1 + private, -1, curve.n) * (nonce - r * private) % curve.n
    if r == 0 or r + nonce == curve.n or s == 0:
        raise ValueError("another nonce")
    return r, s


def verify_digest(curve: Curve, public: tuple[int, int], e: int, r: int, s: int) -> bool:
    if not (1 <= r < curve.n and 1 <= s < curve.n):
        return False
    t = (r + s) % curve.n
    if t == 0:
        return False
    point = add(curve, multiply(curve, s, base(curve)), multiply(curve, t, public))
    return point is not None and (e + point[0]) % curve.n == r
