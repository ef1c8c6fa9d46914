"""What the hub keeps in PostgreSQL: schema, migrations and the statements of each store."""
