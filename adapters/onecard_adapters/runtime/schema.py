"""Tables of the adapter's store. Payloads and values are sealed; keys that concern persons are HMAC-SM3 (`sealing`)."""

from __future__ import annotations

from typing import Final

SCHEMA_VERSION: Final = 4

COLUMNS_SINCE: Final = {
    3: "ALTER TABLE outbox ADD COLUMN detail TEXT NOT NULL DEFAULT ''",
    4: "ALTER TABLE card_book ADD COLUMN is_told INTEGER NOT NULL DEFAULT 1",
}
"""What a version added to tables that an older store has already."""

# Tables of sealed values and messages have row numbers: without them SQLite keeps only a quarter of a page of each row
# beside its key, and the rest on pages of the row's own. An older store has them without, which is slower and works.
SCHEMA: Final = (
    # Our own messages. The header is fixed when the row is made (rule 1); signatures are made when it is sent.
    """
    CREATE TABLE IF NOT EXISTS outbox (
        sequence INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        recipient TEXT NOT NULL,
        method TEXT NOT NULL,
        kind INTEGER NOT NULL,
        header BLOB NOT NULL,
        payload BLOB,
        subject BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        execute_before_ms INTEGER,
        state INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        next_attempt_ms INTEGER NOT NULL DEFAULT 0,
        reason INTEGER NOT NULL DEFAULT 0,
        detail TEXT NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX IF NOT EXISTS outbox_open ON outbox (state, next_attempt_ms) WHERE state < 3",
    # Final answers to our own requests.
    """
    CREATE TABLE IF NOT EXISTS answers (
        request_id BLOB NOT NULL PRIMARY KEY,
        header BLOB NOT NULL,
        payload BLOB NOT NULL,
        signature BLOB NOT NULL
    )
    """,
    # What was received. A message is known by (sender, id).
    """
    CREATE TABLE IF NOT EXISTS inbox (
        sender TEXT NOT NULL,
        id BLOB NOT NULL,
        digest BLOB NOT NULL,
        log_epoch TEXT NOT NULL,
        partition INTEGER NOT NULL,
        number INTEGER NOT NULL,
        received_ms INTEGER NOT NULL,
        header BLOB,
        payload BLOB,
        signature BLOB,
        state INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        local_transaction_id TEXT NOT NULL DEFAULT '',
        answer_id BLOB,
        PRIMARY KEY (sender, id)
    )
    """,
    "CREATE INDEX IF NOT EXISTS inbox_open ON inbox (partition, number) WHERE state < 2",
    # Highest delivery number taken of each partition.
    """
    CREATE TABLE IF NOT EXISTS delivered (
        partition INTEGER PRIMARY KEY,
        number INTEGER NOT NULL
    )
    """,
    # Where the stream goes on; one row.
    """
    CREATE TABLE IF NOT EXISTS cursor (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        log_epoch TEXT NOT NULL,
        position BLOB NOT NULL
    )
    """,
    # Requests that we said will never be executed (rule 12).
    """
    CREATE TABLE IF NOT EXISTS tombstones (
        original_id BLOB PRIMARY KEY,
        made_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    # Highest number given out of each series that a dialect counts in.
    """
    CREATE TABLE IF NOT EXISTS series (
        name TEXT PRIMARY KEY,
        last INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS persons (
        key BLOB NOT NULL PRIMARY KEY,
        value BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS encounters (
        key BLOB NOT NULL PRIMARY KEY,
        value BLOB NOT NULL
    )
    """,
    # What is known of cards, both machines: of own ones (the version book tells more) and of others' that are followed.
    # The key is hidden (`sealing`); its first 20 bits stand beside it, so that ranges can be read in order.
    """
    CREATE TABLE IF NOT EXISTS card_copies (
        is_issued INTEGER NOT NULL,
        range INTEGER NOT NULL,
        hidden_key BLOB NOT NULL,
        social_state INTEGER NOT NULL DEFAULT 0,
        social_version INTEGER NOT NULL DEFAULT 0,
        financial_state INTEGER NOT NULL DEFAULT 0,
        financial_version INTEGER NOT NULL DEFAULT 0,
        data_digest BLOB NOT NULL,
        bank TEXT NOT NULL,
        reference BLOB NOT NULL,
        PRIMARY KEY (is_issued, range, hidden_key)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS transactions (
        message_id BLOB NOT NULL PRIMARY KEY,
        local_key BLOB NOT NULL,
        body_digest BLOB NOT NULL,
        encounter_key BLOB NOT NULL,
        method TEXT NOT NULL,
        value BLOB NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX IF NOT EXISTS transactions_local ON transactions (local_key, body_digest)",
    "CREATE INDEX IF NOT EXISTS transactions_encounter ON transactions (encounter_key, method)",
    # The newest version of each (card, machine) that this participant is the authority of. One that was taken over from
    # the hub's registry was not told: its event is what would have told it, NULL where an older program took it over.
    """
    CREATE TABLE IF NOT EXISTS card_book (
        key BLOB PRIMARY KEY,
        version INTEGER NOT NULL,
        state INTEGER NOT NULL,
        digest BLOB NOT NULL,
        event BLOB,
        is_told INTEGER NOT NULL DEFAULT 1
    )
    """,
    # A local system's tables that are read by update time: how far, and rows that could not be taken.
    """
    CREATE TABLE IF NOT EXISTS source_positions (
        feed TEXT PRIMARY KEY,
        position TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE IF NOT EXISTS dead_source_rows (
        source TEXT NOT NULL,
        key INTEGER NOT NULL,
        reason INTEGER NOT NULL,
        detail TEXT NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        PRIMARY KEY (source, key)
    ) WITHOUT ROWID
    """,
)
