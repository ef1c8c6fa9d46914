"""The hub's commands."""
