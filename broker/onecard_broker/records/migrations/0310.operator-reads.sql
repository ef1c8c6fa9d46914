-- Who at the hub looked at a person's cards, and why; numbers in full only with a reason.
-- depends: 0200.cards

CREATE TABLE operator_reads (
    read_ms bigint NOT NULL,
    operator text NOT NULL,
    subject text NOT NULL,
    is_revealed boolean NOT NULL,
    reason text NOT NULL
);
CREATE INDEX operator_reads_subject ON operator_reads (subject, read_ms);
