DROP TABLE parked, delivery_numbers, outputs, timers, aggregates, known_messages, workers, leases, partitions, schema_use;
