"""Randomness by name: each user of chance has a stream of its own, all from one seed.

So another client, or another policy, does not change what the server draws. Only `Random.random()` is used
anywhere, whose sequence Python promises to keep from version to version.
"""

from random import Random


def stream(seed: int, *names: object) -> Random:
    """The stream of a name, such as `stream(1, "server", "service")`. Equal names give equal streams."""
    return Random("/".join(map(str, (seed, *names))))
