ALTER TABLE card_code_systems DROP COLUMN brought_by;
