"""The `bilevel` command, in this process."""

from command import bilevel, bilevel_json

__all__ = ["bilevel", "bilevel_json"]
