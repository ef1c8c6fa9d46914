"""What all parties of the exchange share: messages, signatures, codes, errors, limits."""
