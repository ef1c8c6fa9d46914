"""What a province runs: connectors, dialects, mapping, profiles, and the runtime around them."""
