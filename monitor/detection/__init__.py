"""From losses to alerts: all that is decided about beats, without sockets, files or clocks."""
