"""Where a run is stored: one SQLite file per run folder."""
