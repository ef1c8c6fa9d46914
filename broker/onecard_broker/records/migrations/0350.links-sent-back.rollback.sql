ALTER TABLE cardholders DROP COLUMN sent_back_from, DROP COLUMN sent_back_linked_by, DROP COLUMN sent_back_ms;
