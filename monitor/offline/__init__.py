"""Data at rest: annotating, training, scoring and evaluating records, and reading journals."""
