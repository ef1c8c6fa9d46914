"""How long a retry waits."""

import random


def backoff_s(attempt: int, *, first_s: float, most_s: float) -> float:
    """Full jitter between half and all of an exponentially growing pause; attempts count from 0."""
    pause_s = min(most_s, first_s * 2.0 ** min(attempt, 16))
    return pause_s * random.uniform(0.5, 1.0)
