"""The exchange worker: reads the journal, decides, writes, publishes."""
