-- The exchange: positions, what is known, business states, timers, outputs.
-- depends:

CREATE TABLE schema_use (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    oldest_program integer NOT NULL
);
INSERT INTO schema_use (oldest_program) VALUES (1);

CREATE TABLE partitions (
    partition integer PRIMARY KEY,
    log_epoch text NOT NULL,
    position bigint NOT NULL,
    now_ms bigint NOT NULL,
    control_number bigint NOT NULL
);

CREATE TABLE leases (
    name text PRIMARY KEY,
    owner text NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE workers (
    owner text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

CREATE TABLE known_messages (
    day integer NOT NULL,
    partition integer NOT NULL,
    sender text NOT NULL,
    id bytea NOT NULL,
    digest bytea NOT NULL,
    recipient text NOT NULL,
    method text NOT NULL,
    subject text NOT NULL,
    state text NOT NULL,
    answer_sender text,
    answer_id bytea,
    aggregates text NOT NULL,
    PRIMARY KEY (day, partition, sender, id)
) PARTITION BY RANGE (day);
CREATE TABLE known_messages_rest PARTITION OF known_messages DEFAULT;

CREATE TABLE aggregates (
    partition integer NOT NULL,
    key text NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (partition, key)
);

CREATE TABLE timers (
    partition integer NOT NULL,
    id bytea NOT NULL,
    due_ms bigint NOT NULL,
    purpose text NOT NULL,
    request_sender text NOT NULL,
    request_id bytea NOT NULL,
    attempt integer NOT NULL,
    PRIMARY KEY (partition, id)
);
CREATE INDEX timers_due ON timers (due_ms);

CREATE TABLE outputs (
    day integer NOT NULL,
    recipient text NOT NULL,
    partition integer NOT NULL,
    number bigint NOT NULL,
    sender text NOT NULL,
    id bytea NOT NULL,
    header bytea NOT NULL,
    payload bytea NOT NULL,
    signature bytea NOT NULL,
    answers text NOT NULL,
    decided_ms bigint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (recipient, partition, number, day)
) PARTITION BY RANGE (day);
CREATE INDEX outputs_message ON outputs (id);
CREATE TABLE outputs_rest PARTITION OF outputs DEFAULT;

CREATE TABLE delivery_numbers (
    recipient text NOT NULL,
    partition integer NOT NULL,
    last_number bigint NOT NULL,
    published_number bigint NOT NULL,
    PRIMARY KEY (recipient, partition)
) WITH (fillfactor = 50);

CREATE TABLE parked (
    partition integer NOT NULL,
    position bigint NOT NULL,
    subject text NOT NULL,
    sender text NOT NULL,
    id bytea NOT NULL,
    is_offender boolean NOT NULL,
    cause text NOT NULL,
    append_time_ms bigint NOT NULL,
    key bytea NOT NULL,
    header_names text[] NOT NULL,
    header_values bytea[] NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (partition, position)
);
CREATE INDEX parked_subject ON parked (partition, subject);
