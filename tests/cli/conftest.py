"""The `bilevel` command: in this process, and as a user runs it."""

from command import bilevel, bilevel_json, process

__all__ = ["bilevel", "bilevel_json", "process"]
