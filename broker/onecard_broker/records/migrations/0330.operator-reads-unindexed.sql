-- contracts: an index that no program asked. What an operator looked at is kept to be read through, by a person.
-- depends: 0310.operator-reads

DROP INDEX operator_reads_subject;
UPDATE schema_use SET oldest_program = greatest(oldest_program, 1);
