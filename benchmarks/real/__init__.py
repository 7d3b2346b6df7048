"""Scenarios in real time, over real sockets, beside what the simulation says of them."""
