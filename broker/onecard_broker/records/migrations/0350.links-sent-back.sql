-- Links of numbers that were sent back, few among all cardholders, until a person has decided.
-- depends: 0200.cards

ALTER TABLE cardholders ADD COLUMN sent_back_from bytea, ADD COLUMN sent_back_linked_by smallint,
    ADD COLUMN sent_back_ms bigint;
CREATE INDEX cardholders_sent_back ON cardholders (sent_back_ms) WHERE sent_back_ms IS NOT NULL;
