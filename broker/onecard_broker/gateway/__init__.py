"""The gRPC door of the hub."""
