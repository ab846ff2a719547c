"""Where alerts are handed on to: one file a sink, the interface in `sink`, from a name in `kinds`."""
