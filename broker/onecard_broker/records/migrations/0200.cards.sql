-- The cardholder registry (持卡库): persons, their cards, replacements. Made for a row for each card of the country.
-- One table by journal partition for each of the two large ones (`card_registry`), so that the registry can be moved to
-- another PostgreSQL by ranges of partitions. A person is known by the first half of the pseudonym, as a uuid; columns
-- stand by their alignment, wide ones first, so that none is padded.
-- depends: 0003.states_and_forwards

CREATE TABLE card_code_systems (
    id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    system text NOT NULL,
    version text NOT NULL,
    UNIQUE (system, version)
);

CREATE TABLE cardholders (
    partition integer NOT NULL,
    holder uuid NOT NULL,
    subject_rest bytea NOT NULL,
    kind text NOT NULL,
    number text NOT NULL,
    name text NOT NULL,
    linked_to bytea,
    linked_from bytea[],
    followers smallint[],
    PRIMARY KEY (partition, holder)
) PARTITION BY LIST (partition);

CREATE TABLE cards (
    social_version bigint NOT NULL,
    social_changed_ms bigint NOT NULL,
    financial_version bigint NOT NULL,
    financial_changed_ms bigint NOT NULL,
    partition integer NOT NULL,
    sequence integer NOT NULL,
    issue_day integer NOT NULL,
    expiry_day integer NOT NULL,
    social_late_count integer NOT NULL,
    financial_late_count integer NOT NULL,
    issuer smallint NOT NULL,
    bank smallint NOT NULL,
    generation smallint NOT NULL,
    social_state smallint NOT NULL,
    social_code_system smallint NOT NULL,
    financial_state smallint NOT NULL,
    financial_code_system smallint NOT NULL,
    is_contactless boolean NOT NULL,
    has_transit_mark boolean NOT NULL,
    holder uuid NOT NULL,
    key_hash bytea NOT NULL,
    data_digest bytea NOT NULL,
    number text NOT NULL,
    social_code text NOT NULL,
    social_digest bytea NOT NULL,
    financial_code text NOT NULL,
    financial_digest bytea NOT NULL,
    recognition_code bytea NOT NULL,
    electronic_card_id text NOT NULL,
    bank_card_number text NOT NULL,
    specification_version text NOT NULL,
    card_class text NOT NULL,
    institution_code bytea NOT NULL,
    certificate_serial bytea NOT NULL,
    production_kind text NOT NULL,
    production_way text NOT NULL,
    residence_area text NOT NULL,
    photo_digest bytea NOT NULL,
    social_missing bigint[],
    financial_missing bigint[],
    replaces_issuer smallint,
    replaces_sequence integer,
    replaces_number text,
    PRIMARY KEY (partition, holder, key_hash)
) PARTITION BY LIST (partition);

-- At most one card of a person is ACTIVE, whatever the rules believe.
CREATE UNIQUE INDEX cards_active ON cards (partition, holder) WHERE social_state = 2;
-- Copies are compared by issuer, in the order of the cards' keys.
CREATE INDEX cards_key ON cards (issuer, key_hash);

CREATE TABLE card_replacements (
    partition integer NOT NULL,
    holder uuid NOT NULL,
    id bytea NOT NULL,
    phase text NOT NULL,
    old_issuer smallint NOT NULL,
    old_number text NOT NULL,
    old_sequence integer NOT NULL,
    new_issuer smallint NOT NULL,
    new_number text NOT NULL,
    new_sequence integer NOT NULL,
    began_ms bigint NOT NULL,
    ended_ms bigint NOT NULL,
    benefit_due_ms bigint NOT NULL,
    is_alarmed boolean NOT NULL,
    PRIMARY KEY (partition, holder, id)
);
CREATE INDEX card_replacements_id ON card_replacements (id);

CREATE TABLE card_replacement_steps (
    partition integer NOT NULL,
    holder uuid NOT NULL,
    replacement bytea NOT NULL,
    step smallint NOT NULL,
    phase text NOT NULL,
    recipient smallint NOT NULL,
    attempt integer NOT NULL,
    asked_ids bytea[],
    reason integer NOT NULL,
    changed_ms bigint NOT NULL,
    local_id text NOT NULL,
    PRIMARY KEY (partition, holder, replacement, step)
);
