"""The commands of `onecard` that every party has."""
