CREATE INDEX operator_reads_subject ON operator_reads (subject, read_ms);
