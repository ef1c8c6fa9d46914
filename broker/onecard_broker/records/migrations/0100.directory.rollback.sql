DROP TABLE recipient_reads, control_publication, control_records;
