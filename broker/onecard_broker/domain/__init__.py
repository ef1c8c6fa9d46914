"""The rules of the exchange and of each business: pure functions from state and record to effects."""
