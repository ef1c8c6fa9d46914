"""Load for the benchmarks: two ends of the exchange on the SDK, with synthetic persons."""
