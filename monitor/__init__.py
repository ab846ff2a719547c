"""The running system: sources, stages, alerts, views. The only package that knows sockets."""
