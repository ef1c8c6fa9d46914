"""The benchmarks: the real processes on loopback, loaded from both ends, counted and timed."""
