"""The log: journal, inboxes and control records as ordered, durable, append-only partitions."""
