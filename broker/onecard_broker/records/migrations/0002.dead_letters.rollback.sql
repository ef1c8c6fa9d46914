ALTER TABLE parked DROP COLUMN is_dead_letter;
