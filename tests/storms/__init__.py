"""Storms: many calls, threads and loops at once, at random, against what must hold whatever happens."""
