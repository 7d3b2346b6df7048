"""A listener that remembers."""

from typing import TypeVar

from .._events import Event

E = TypeVar("E", bound=Event)


class Recorder:
    """Remembers the events it is told of, in order.

        recorder = Recorder()
        client = AsyncClient(listeners=[recorder])
        ...
        assert recorder.of(seawall.CircuitChanged)[0].new == "open"

    `recorder.events` lists all of them.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def clear(self) -> None:
        """Forget them."""
        self.events.clear()

    def __repr__(self) -> str:
        return f"<Recorder {len(self.events)} events>"
