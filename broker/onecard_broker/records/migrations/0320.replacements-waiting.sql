-- Replacements that wait for a person, few among millions: a step is stuck, or a benefit account is not confirmed in time.
-- depends: 0200.cards

CREATE INDEX card_replacement_steps_stuck ON card_replacement_steps (changed_ms)
    WHERE phase IN ('stuck', 'undo-stuck');
CREATE INDEX card_replacements_alarmed ON card_replacements (benefit_due_ms)
    WHERE is_alarmed AND phase IN ('running', 'stuck', 'open');
