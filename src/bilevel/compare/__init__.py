"""Arms side by side: a plan hashed before anything runs, interleaved runs at equal budget, and what they say."""
