"""Running a candidate: its own working copy, its environment, its processes, its constants and its metrics."""
