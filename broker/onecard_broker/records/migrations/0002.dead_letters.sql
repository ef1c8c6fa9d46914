-- Messages that their recipient gave up on stand among the parked records, as the report of it.
-- depends: 0001.exchange

ALTER TABLE parked ADD COLUMN is_dead_letter boolean NOT NULL DEFAULT false;
