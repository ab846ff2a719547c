"""Messages between the processes and to the world: their types, bytes, sockets and keys."""
