"""Local values to national values and back: amounts, codes and fields, checked in both directions, never guessed."""
