"""The browser's view of a monitor: a central station. Extra `[web]`."""
