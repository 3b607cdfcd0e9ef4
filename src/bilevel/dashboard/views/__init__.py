"""The pages, one view to a file; each is a function of a run and of what the address asks for."""
