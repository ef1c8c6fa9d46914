-- Who brought a code system in by a report (participants as in `card_columns`), so that one participant's are bounded for
-- good. NULL: by a snapshot, or before this column was.
-- depends: 0200.cards

ALTER TABLE card_code_systems ADD COLUMN brought_by smallint;
