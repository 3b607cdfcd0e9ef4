"""The commands. Each is thin; the work is done by the modules of `bilevel.cli` that it imports late."""
