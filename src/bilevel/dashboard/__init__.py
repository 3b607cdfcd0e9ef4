"""Read-only pages over run folders, live while a run goes on."""
