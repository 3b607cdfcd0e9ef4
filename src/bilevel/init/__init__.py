"""A task folder and a recipe made from a repository or a script as it stands; `making.make` does the work."""
