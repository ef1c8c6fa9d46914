"""Simulated local systems of provinces, for tests and demonstrations: they know nothing of adapters or the hub."""
