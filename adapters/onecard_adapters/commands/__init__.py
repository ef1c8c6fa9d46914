"""Commands of the adapters' part for the `onecard` program."""
