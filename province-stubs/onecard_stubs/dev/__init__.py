"""The engines of a country on one machine: PostgreSQL and Kafka without root and without containers."""
