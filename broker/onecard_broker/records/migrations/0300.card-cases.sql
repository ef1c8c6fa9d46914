-- Differences between the registry and a province's copy that a person must decide; and what is needed to find the cards
-- of those who live elsewhere than where their card was issued, or whom somebody follows.
-- depends: 0200.cards

CREATE TABLE card_cases (
    participant text NOT NULL,
    scope smallint NOT NULL,
    issuer text NOT NULL,
    number text NOT NULL,
    sequence integer NOT NULL,
    kind text NOT NULL,
    here text NOT NULL,
    there text NOT NULL,
    found_ms bigint NOT NULL,
    PRIMARY KEY (participant, scope, issuer, number, sequence)
);

CREATE INDEX cards_elsewhere ON cards (left(residence_area, 2), key_hash)
    WHERE left(residence_area, 2) <> issuer::text;
CREATE INDEX cardholders_followers ON cardholders USING gin (followers) WHERE followers IS NOT NULL;
