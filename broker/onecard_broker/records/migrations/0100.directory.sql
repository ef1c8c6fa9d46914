-- The directory: its control records, how far they are published, and which participants read of late.
-- depends: 0001.exchange

CREATE TABLE control_records (
    number bigint PRIMARY KEY CHECK (number > 0),
    header bytea NOT NULL,
    payload bytea NOT NULL,
    signature bytea NOT NULL
);

CREATE TABLE control_publication (
    log_epoch text PRIMARY KEY,
    published_number bigint NOT NULL
);

CREATE TABLE recipient_reads (
    participant text PRIMARY KEY,
    read_ms bigint NOT NULL
) WITH (fillfactor = 50);
