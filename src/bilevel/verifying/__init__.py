"""`bilevel verify`: what is stated, computed again from what is stored."""
