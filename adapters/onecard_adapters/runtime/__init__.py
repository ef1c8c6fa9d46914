"""What every adapter runs on: the durable store, edge memory, processing, hosting of profiles."""
