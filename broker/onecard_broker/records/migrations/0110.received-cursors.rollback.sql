ALTER TABLE recipient_reads DROP COLUMN received_cursor;
