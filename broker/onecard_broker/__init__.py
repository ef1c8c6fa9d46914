"""The hub: gateways, exchange workers and their operation."""
