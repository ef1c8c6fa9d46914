"""A card office whose system is a database: AAC/AAZ columns, polled by update time (domain.md, 2.1 and 2.3)."""
