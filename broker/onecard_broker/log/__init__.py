"""The log: journal, inboxes and outboxes as ordered, durable, append-only partitions."""
