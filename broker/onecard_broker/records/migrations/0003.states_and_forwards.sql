-- Timers about a business state, and outputs that are forwarded to another partition of the journal.
-- depends: 0002.dead_letters

ALTER TABLE timers ADD COLUMN aggregate text;
ALTER TABLE timers ADD COLUMN what text NOT NULL DEFAULT '';
ALTER TABLE timers ADD COLUMN method text NOT NULL DEFAULT '';

ALTER TABLE outputs ADD COLUMN subject text NOT NULL DEFAULT '';
ALTER TABLE outputs ADD COLUMN other_subject text NOT NULL DEFAULT '';
