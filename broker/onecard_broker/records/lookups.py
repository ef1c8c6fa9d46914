"""Rows by many keys in one statement, each key looked up in the index whatever PostgreSQL believes of the table.

A prepared statement keeps the plan that it got when its table was small: a join may then be a hash join, which reads
the whole table for each batch until statistics are made. ``OFFSET 0`` keeps the lookup from being turned into a join,
and a connection that `looks_up` (pool.py) keeps each lookup, and what is deleted by keys, from reading a table that was
small.
"""

from __future__ import annotations


def looked_up(table: str, alias: str, *keys: str) -> str:
    """The rows of the table beside each row of `w`, by columns that both have; behind ``FROM unnest(…) AS w(…)``."""
    condition = " AND ".join(f"{key} = w.{key}" for key in keys)
    return f" CROSS JOIN LATERAL (SELECT * FROM {table} WHERE {condition} OFFSET 0) AS {alias}"


def deleted(table: str, wanted: str, *keys: str) -> str:
    """A statement that deletes the rows of a table without partitions by keys; `wanted` is ``unnest(…) AS w(…)``."""
    condition = " AND ".join(f"{key} = w.{key}" for key in keys)
    return (
        f"DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT t.ctid FROM {wanted}"
        f" CROSS JOIN LATERAL (SELECT ctid FROM {table} WHERE {condition} OFFSET 0) AS t))"
    )
