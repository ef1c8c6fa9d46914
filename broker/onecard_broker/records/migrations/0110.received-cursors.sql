-- How far each participant says that it received its inbox: its cursor as it reported it.
-- depends: 0100.directory

ALTER TABLE recipient_reads ADD COLUMN received_cursor bytea;
