"""A running monitor: its stages under one supervisor, screen, summary; watching one elsewhere."""
