"""Forks: what starts afresh in a child process.

A fork copies every object, but of the threads only the one that forks. Locks that others held stay held for ever, what
they were about to give back is never given back, and both processes have the same sockets. So whatever has locks,
permits, connections or threads is told of it in the child, before anything else runs there.
"""

import os
import weakref
from typing import Any

_known: "weakref.WeakSet[Any]" = weakref.WeakSet()
inherited: list[Any] = []
"""What a child has of its parent's connections: kept for good, since a collector would warn that nobody closed them."""


def tell_of_forks(thing: Any) -> None:
    """Have `thing.after_fork()` called in every child that is forked while the thing lives."""
    _known.add(thing)


def _in_child() -> None:
    for thing in list(_known):
        thing.after_fork()


if hasattr(os, "register_at_fork"):  # where there are forks
    os.register_at_fork(after_in_child=_in_child)
