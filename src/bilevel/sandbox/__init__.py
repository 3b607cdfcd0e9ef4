"""Where code that a model wrote runs: a process of its own behind walls, which answers over a pipe."""
