"""Behaviour under overload: Seawall and published algorithms in simulated time."""
