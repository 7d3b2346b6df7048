"""Who is told what happened, and the log.

A listener is any callable of one event. It runs where the event happened, outside every lock; one that
raises is logged and changes nothing.
"""

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._events import Event

logger = logging.getLogger("seawall")

Listener = Callable[["Event"], object]


def notify(listeners: Iterable[Listener], event: "Event") -> None:
    """Tell each listener, isolated from each other and from us."""
    for listener in listeners:
        try:
            listener(event)
        except Exception:
            logger.exception("a seawall listener raised on %s", type(event).__name__)
