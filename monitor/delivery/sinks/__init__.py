"""Where alerts are handed on to: the interface is in `sink`, what there is in `kinds`."""
