"""A run for other programs: rows, CSV, data frames, MLflow."""
