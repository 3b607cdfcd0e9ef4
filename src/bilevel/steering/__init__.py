"""Steering a run that goes on: persons give acts, the run takes them up between two trials."""
