ALTER TABLE outputs DROP COLUMN other_subject;
ALTER TABLE outputs DROP COLUMN subject;
ALTER TABLE timers DROP COLUMN method;
ALTER TABLE timers DROP COLUMN what;
ALTER TABLE timers DROP COLUMN aggregate;
