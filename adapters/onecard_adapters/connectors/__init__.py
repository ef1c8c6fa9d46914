"""How bytes move between the adapter and local systems."""
