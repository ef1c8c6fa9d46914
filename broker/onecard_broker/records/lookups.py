"""Rows by many keys in one statement, each key looked up in the index whatever PostgreSQL believes of the table.

A prepared statement keeps the plan that it got when its table was new: a join may then be a hash join, which reads the
whole table for each batch until statistics are made. ``OFFSET 0`` keeps the lookup from being turned into a join.
"""

from __future__ import annotations


def looked_up(table: str, alias: str, *keys: str) -> str:
    """The rows of the table beside each row of `w`, by columns that both have; behind ``FROM unnest(…) AS w(…)``."""
    condition = " AND ".join(f"{key} = w.{key}" for key in keys)
    return f" CROSS JOIN LATERAL (SELECT * FROM {table} WHERE {condition} OFFSET 0) AS {alias}"
