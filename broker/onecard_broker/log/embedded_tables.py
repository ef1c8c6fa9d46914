"""Tables and statements of the embedded log, and how its headers are stored. No I/O."""

import struct
from typing import NamedTuple

NOTIFY_CHANNEL = "onecard_log"


class Topic(NamedTuple):
    """A row of TOPICS_SQL."""

    name: str
    topic_id: int
    partition_count: int
    retention_ms: int | None


# Two processes may open a new log at the same moment; the lock's number is arbitrary, only theirs to take.
CREATE_SQL = """
SELECT pg_advisory_xact_lock(7140381);
CREATE SCHEMA IF NOT EXISTS onecard_log;
CREATE TABLE IF NOT EXISTS onecard_log.epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch text NOT NULL
);
CREATE TABLE IF NOT EXISTS onecard_log.topic (
    topic_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    partition_count integer NOT NULL,
    retention_ms bigint
);
CREATE TABLE IF NOT EXISTS onecard_log.head (
    topic_id integer NOT NULL REFERENCES onecard_log.topic,
    partition integer NOT NULL,
    first_position bigint NOT NULL DEFAULT 0,
    next_position bigint NOT NULL DEFAULT 0,
    append_time_ms bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic_id, partition)
) WITH (fillfactor = 20);
CREATE TABLE IF NOT EXISTS onecard_log.record (
    topic_id integer NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    append_time_ms bigint NOT NULL,
    size_bytes integer NOT NULL,
    key bytea NOT NULL,
    value bytea STORAGE EXTERNAL NOT NULL,
    headers bytea NOT NULL,
    PRIMARY KEY (topic_id, partition, position)
);
"""

EPOCH_SQL = """
WITH made AS (
    INSERT INTO onecard_log.epoch (epoch) VALUES (%s) ON CONFLICT DO NOTHING RETURNING epoch
)
SELECT epoch FROM made UNION ALL SELECT epoch FROM onecard_log.epoch LIMIT 1
"""

TOPICS_SQL = "SELECT name, topic_id, partition_count, retention_ms FROM onecard_log.topic"

CREATE_TOPIC_SQL = """
WITH made AS (
    INSERT INTO onecard_log.topic (name, partition_count, retention_ms) VALUES (%(name)s, %(partition_count)s,
        %(retention_ms)s)
    ON CONFLICT DO NOTHING RETURNING topic_id
)
INSERT INTO onecard_log.head (topic_id, partition)
SELECT topic_id, partition FROM made, generate_series(0, %(partition_count)s::integer - 1) AS partition
"""

# Heads are locked in one order by every appender, so that two of them never wait for each other. The clock is read
# after the lock was taken.
APPEND_SQL = f"""
WITH locked AS (
    SELECT h.topic_id, h.partition, w.record_count
    FROM onecard_log.head h
    JOIN unnest(%(head_topics)b::integer[], %(head_partitions)b::integer[], %(head_counts)b::integer[])
        AS w (topic_id, partition, record_count) USING (topic_id, partition)
    ORDER BY h.topic_id, h.partition
    FOR UPDATE OF h
), head AS (
    UPDATE onecard_log.head h
    SET next_position = h.next_position + l.record_count,
        append_time_ms = greatest(h.append_time_ms, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
    FROM locked l
    WHERE h.topic_id = l.topic_id AND h.partition = l.partition
    RETURNING h.topic_id, h.partition, h.next_position - l.record_count AS base, h.append_time_ms
), inserted AS (
    INSERT INTO onecard_log.record (topic_id, partition, position, append_time_ms, size_bytes, key, value, headers)
    SELECT r.topic_id, r.partition, head.base + r.place, head.append_time_ms, r.size_bytes, r.key, r.value, r.headers
    FROM unnest(%(topics)b::integer[], %(partitions)b::integer[], %(places)b::integer[], %(sizes)b::integer[],
        %(keys)b::bytea[], %(values)b::bytea[], %(headers)b::bytea[])
        AS r (topic_id, partition, place, size_bytes, key, value, headers)
    JOIN head USING (topic_id, partition)
), notified AS (
    SELECT count(pg_notify('{NOTIFY_CHANNEL}', topic_id::text)) FROM (SELECT DISTINCT topic_id FROM head) AS changed
)
SELECT head.topic_id, head.partition, head.base, head.append_time_ms FROM head, notified
"""

# Partitions are read in the order given: the lateral limit leaves the planner no other way, and the reader checks
# that each partition's positions follow each other. Sizes bound the answer before any large value is fetched.
READ_SQL = """
SELECT partition, position, append_time_ms, key, value, headers FROM (
    SELECT found.*, sum(size_bytes) OVER (ROWS UNBOUNDED PRECEDING) AS bytes_so_far, row_number() OVER () AS place
    FROM (
        SELECT r.*
        FROM unnest(%(partitions)b::integer[], %(positions)b::bigint[]) AS w (partition, position)
        CROSS JOIN LATERAL (
            SELECT * FROM onecard_log.record
            WHERE topic_id = %(topic_id)s AND partition = w.partition AND position >= w.position
            ORDER BY position LIMIT %(max_records)s
        ) AS r
        LIMIT %(max_records)s
    ) AS found
) AS bounded
WHERE bytes_so_far <= %(max_bytes)s OR place = 1
"""

BOUNDS_SQL = "SELECT partition, first_position, next_position FROM onecard_log.head WHERE topic_id = %s"

TRUNCATE_SQL = """
WITH moved AS (
    UPDATE onecard_log.head h
    SET first_position = greatest(h.first_position, least(w.first_position, h.next_position))
    FROM unnest(%(partitions)s::integer[], %(positions)s::bigint[]) AS w (partition, first_position)
    WHERE h.topic_id = %(topic_id)s AND h.partition = w.partition
    RETURNING h.topic_id, h.partition, h.first_position
)
DELETE FROM onecard_log.record r USING moved m
WHERE r.topic_id = m.topic_id AND r.partition = m.partition AND r.position < m.first_position
"""

# By partition, the first position that is young enough to be kept.
EXPIRED_SQL = """
SELECT h.partition, coalesce((
    SELECT r.position FROM onecard_log.record r
    WHERE r.topic_id = h.topic_id AND r.partition = h.partition AND r.append_time_ms >= c.cutoff_ms
    ORDER BY r.position LIMIT 1
), h.next_position)
FROM onecard_log.head h,
    (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint - %(retention_ms)s AS cutoff_ms) AS c
WHERE h.topic_id = %(topic_id)s
"""

_LENGTHS = struct.Struct(">HI")


def encode_headers(headers: tuple[tuple[str, bytes], ...]) -> bytes:
    """Return the stored form: for each header the lengths of name and value (2 and 4 bytes), then both."""
    parts: list[bytes] = []
    for name, value in headers:
        name_bytes = name.encode()
        parts.append(_LENGTHS.pack(len(name_bytes), len(value)))
        parts.append(name_bytes)
        parts.append(value)
    return b"".join(parts)


def decode_headers(stored: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return what `encode_headers` was given; raises ValueError on bytes that it did not make."""
    headers: list[tuple[str, bytes]] = []
    offset, end = 0, len(stored)
    while offset < end:
        if offset + _LENGTHS.size > end:
            raise ValueError("stored headers are cut off")
        name_length, value_length = _LENGTHS.unpack_from(stored, offset)
        value_offset = offset + _LENGTHS.size + name_length
        next_offset = value_offset + value_length
        if next_offset > end:
            raise ValueError("stored headers are cut off")
        headers.append((stored[offset + _LENGTHS.size : value_offset].decode(), stored[value_offset:next_offset]))
        offset = next_offset
    return tuple(headers)
