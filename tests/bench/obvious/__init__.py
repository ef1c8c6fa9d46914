"""The obvious stack, for comparison: synchronous gRPC, one signature, one Kafka send and one commit a message."""
