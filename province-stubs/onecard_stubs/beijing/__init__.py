"""Beijing's card office as a database: no interface but its tables, which an adapter reads (tests/samples/card-db)."""
