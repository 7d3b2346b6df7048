"""Real sockets, on loopback only."""
