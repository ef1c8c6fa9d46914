DROP TABLE operator_reads;
