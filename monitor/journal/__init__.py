"""What is kept: alerts, states and positions in one SQLite file with one writer."""
