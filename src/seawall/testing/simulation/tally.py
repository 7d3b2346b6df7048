"""What is counted while a simulation runs: in columns, a row per call, and in bins, one per virtual second."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator

OUTCOMES = ("unfinished", "answered", "failed", "timed out", "rejected", "broken", "cancelled")
"""How a call can end: not before the simulation did; with a status below 400, or above; with a `TimedOut`, one of
Seawall's rejections, or another error of the transport; or given up by its caller."""


class Calls:
    """Every call, in the order in which they were made, as columns."""

    def __init__(self) -> None:
        self.begun = array("d")
        self.ended = array("d")  # -1 while it has not
        self.outcome = bytearray()  # a place in OUTCOMES
        self.attempts = array("I")
        self.group = bytearray()  # the place of its traffic in the scenario
        self.client = array("I")  # within its group

    def begin(self, now: float, group: int, client: int) -> int:
        """Add a call. Returns its number."""
        number = len(self.outcome)
        self.begun.append(now)
        self.ended.append(-1.0)
        self.outcome.append(0)
        self.attempts.append(0)
        self.group.append(group)
        self.client.append(client)
        return number

    def within(self, begin: float = 0.0, end: float = float("inf"), group: int | None = None) -> Iterator[int]:
        """The numbers of the calls that began in a stretch of time."""
        numbers = range(bisect_left(self.begun, begin), bisect_left(self.begun, end))  # they began in this order
        return iter(numbers) if group is None else (number for number in numbers if self.group[number] == group)

    def __len__(self) -> int:
        return len(self.outcome)


class Tally:
    """What happens in each second. The last bin is that of now."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.attempts = array("I")
        """Attempts that reached the server."""
        self.answers = array("I")
        """Attempts that it served and whose client was still there."""
        self.round_trips = array("d")
        """Seconds that those took at the server, waiting there included, all together."""
        self.useful = array("d")
        """Seconds of service for clients that were still there at its end, by the end of service."""
        self.wasted = array("d")
        """And for those that had gone."""
        self.busy = array("d")
        """Slot-seconds in which it served, within each second."""
        self.slots = array("d")
        """Slot-seconds that it had, all replicas together."""
        self.waiting = array("I")
        """Requests in the server's line at the end of the second that it is going to serve."""
        self.states: list[dict[str, float]] = []
        """What the policies' states show at the end of the second: numbers of all clients together."""
        self.circuits: list[tuple[float, str, str, str]] = []
        """Changes of circuits: when, whose, from, to."""

    def open_bin(self) -> None:
        """Another second begins."""
        for column in (self.attempts, self.answers):
            column.append(0)
        for seconds in (self.round_trips, self.useful, self.wasted):
            seconds.append(0.0)
