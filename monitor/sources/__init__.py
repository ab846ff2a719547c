"""Where samples come from: one file a source, and the interface that all of them have."""
