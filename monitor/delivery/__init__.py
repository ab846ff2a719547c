"""Alerts to people and programs: the socket that publishes, its clients, and sinks."""
