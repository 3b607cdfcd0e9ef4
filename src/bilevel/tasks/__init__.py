"""Tasks: implementations of the port in `bilevel.task`."""
