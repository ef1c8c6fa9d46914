"""The SDK: generated stubs and servicers over the exchange."""
