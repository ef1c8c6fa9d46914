"""What operators do with a hub: read what became of messages, load and compare cards, and call through its own door."""
