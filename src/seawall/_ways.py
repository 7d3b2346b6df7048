"""Who travels on which connection, where one carries several requests: a pool's permits, and the lines before them.

A *way* leads from one home (event loop) to one origin. It has the connections that are in use, its *trunks*, and the
calls in line for them. A permit is a trunk: in use, in the making, or drained and not empty yet. How many requests a
trunk carries, its width, is learned from the server; of a way on which nothing is known, one connection at a time is
made, and the other calls wait for what comes of it. Rules:

- A call is let in at once if nobody waits for anything. Else it stands in line: calls of a way by rank, and the ways
  take turns in a round. The first way of the round gets the next permit, or the next room on a trunk of its own. A way
  whose turn it is not gets neither, so that a trunk with an endless line of its own comes to an end for others.
- A trunk that has just learned its width takes as many as it can carry.
- A way wants another trunk when those in the making would not carry all who wait.
- After a request that was cancelled, broke or was dropped, its trunk is drained: nobody gets on any more, and it is
  closed when it is empty. The server knows nothing of a cancellation, and may still be answering: to it the stream
  counts. With nobody getting on it counts here too.
- A connection that could not be made shows that waiting for one is no use: whoever waits then tries on their own.

`_lock` guards everything here. Wakes are delivered outside it. What a collector gives back it only puts down
(`drop`): it may have interrupted a holder of the lock, who looks for such things after letting go of it.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any

from ._pool import Shard
from ._queue import Queue, Ticket


class Trunk(Shard):
    """A connection that may carry several requests at once. Held, and with it a permit, until the last has ended."""

    __slots__ = ("carries", "draining", "making", "way", "width")
    way: "Way"

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.carries = 0
        self.width: int | None = None
        """How many requests it can carry at once, once that is known."""
        self.making = False
        """Whether that is being found out."""
        self.draining = False

    def __repr__(self) -> str:
        state = "draining" if self.draining else "used" if self.used else "new"
        return f"<Trunk for {self.origin} {state} carries {self.carries}/{self.width}>"


class Way:
    """From one home to one origin."""

    __slots__ = ("calls", "making", "place", "roomy", "trunks", "width")

    def __init__(self, place: Hashable) -> None:
        self.place = place
        self.calls = Queue()
        self.making = 0
        """Permits granted for a connection of which nothing is known yet."""
        self.trunks = 0
        self.roomy: list[Trunk] = []
        """Those that can carry more; the last gained room last."""
        self.width: int | None = None
        """As it was learned last."""

    def wants(self, calls: int) -> bool:
        """Whether so many calls need a connection beyond those in the making, each of which has its first call."""
        if self.width is None:
            return calls > 0 and not self.making
        return calls > self.making * (self.width - 1)

    def __repr__(self) -> str:
        return f"<Way {self.place} {self.trunks} in use, {self.making} in the making, {self.calls.waiting} waiting>"


Grant = Trunk | Way
"""What a call is given: room on a trunk, or a permit to have one on this way."""


class Turn(Ticket):
    """One call's place in the line of its way."""

    __slots__ = ("grant", "way")

    def __init__(self, waiter: Any, rank: float, way: Way) -> None:
        super().__init__(waiter, rank)
        self.way = way
        self.grant: Grant | None = None


class Ways:
    """`limit` permits, and all ways of a pool."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.in_use = 0
        self.waiting = 0
        """How many calls are in line."""
        self._ways: dict[Hashable, Way] = {}
        self._round: OrderedDict[Way, None] = OrderedDict()
        self._lock = threading.Lock()
        self._dropped: deque[Grant | Turn] = deque()

    # -- calls

    def try_enter(self, place: Hashable) -> Grant | None:
        """What a call may have at once; None if it has to wait."""
        with self._lock:
            grant = self._at_once(place)
        self._collect()
        return grant

    def line_up(self, place: Hashable, waiter: Any, rank: float) -> Turn:
        """Take a place in line. The turn may have come already."""
        with self._lock:
            grant = self._at_once(place)
            turn = Turn(waiter, rank, self._way(place))
            if grant is None:
                turn.way.calls.push(turn)
                self.waiting += 1
                self._stand(turn.way)
            else:
                turn.grant, turn.state = grant, "granted"
        self._collect()
        return turn

    def leave_line(self, turn: Turn) -> Grant | None:
        """Leave the line, or come out of it: with what was granted, which is the caller's to give back."""
        turns: list[Turn] = []
        with self._lock:
            self._discard(turn, turns)
        self._deliver(turns)
        return turn.grant

    # -- what was granted

    def forgo(self, way: Way) -> None:
        """A permit of which nothing came."""
        turns: list[Turn] = []
        with self._lock:
            self._forgo(way, turns)
        self._deliver(turns)

    def board(self, way: Way, trunk: Trunk) -> None:
        """A permit was turned into a trunk, which carries its first request."""
        with self._lock:
            trunk.way = way
            trunk.carries = 1
            trunk.making = True
            way.trunks += 1
        if trunk.width is not None:  # it had been idle
            self.learn(trunk, trunk.width)

    def learn(self, trunk: Trunk, width: int) -> None:
        """The server told how many requests a trunk can carry."""
        turns: list[Turn] = []
        with self._lock:
            way = trunk.way
            self._made(trunk)
            trunk.width = way.width = width
            self._room(trunk)
            while way.calls.waiting and trunk in way.roomy:
                turns.append(self._serve(way, self._get_on(trunk)))
            self._sort(way, turns)
        self._deliver(turns)

    def leave(self, trunk: Trunk, *, keep: bool, failed: bool = False) -> bool:
        """A request ended; `failed`: by an error. True if it was the last: the trunk is to be put away, then `release`.

        Only one that is kept goes on carrying others.
        """
        turns: list[Turn] = []
        with self._lock:
            empty = self._leave(trunk, keep, failed, turns)
        self._deliver(turns)
        return empty

    def drain(self, trunks: list[Trunk]) -> None:
        """Let nobody get on these any more."""
        turns: list[Turn] = []
        with self._lock:
            for trunk in trunks:
                trunk.draining = True
                self._room(trunk)
                self._sort(trunk.way, turns)
        self._deliver(turns)

    def release(self) -> None:
        """Give back the permit of a trunk that has been put away."""
        turns: list[Turn] = []
        with self._lock:
            self.in_use -= 1
            self._sort(None, turns)
        self._deliver(turns)

    def drop(self, thing: Grant | Turn) -> None:
        """Give back from a collector: a request's room on a trunk, a permit, or a place in line."""
        self._dropped.append(thing)
        self._collect()

    # -- under the lock

    def _way(self, place: Hashable) -> Way:
        way = self._ways.get(place)
        if way is None:
            way = self._ways[place] = Way(place)
        return way

    def _at_once(self, place: Hashable) -> Grant | None:
        way = self._ways.get(place)
        if way is not None:
            if way.calls.waiting:
                return None
            if way.roomy:
                return None if self._round else self._get_on(way.roomy[-1])
            if not way.wants(1):
                return None
        return self._permit(way or self._way(place)) if self.in_use < self.limit else None

    def _permit(self, way: Way) -> Way:
        self.in_use += 1
        way.making += 1
        return way

    def _made(self, trunk: Trunk) -> None:
        if trunk.making:
            trunk.making = False
            trunk.way.making -= 1

    def _get_on(self, trunk: Trunk) -> Trunk:
        trunk.carries += 1
        self._room(trunk)
        return trunk

    def _room(self, trunk: Trunk) -> None:
        """Note whether it can carry more. One that carries a single request is put away instead, to be looked at."""
        width, roomy = trunk.width or 1, trunk.way.roomy
        if trunk.carries < width and width > 1 and not trunk.draining and not trunk.making:
            if trunk not in roomy:
                roomy.append(trunk)
        elif trunk in roomy:
            roomy.remove(trunk)

    def _serve(self, way: Way, grant: Grant) -> Turn:
        turn: Any = way.calls.pop()
        turn.grant = grant
        self.waiting -= 1
        return turn  # type: ignore[no-any-return]

    def _stand(self, way: Way) -> None:
        """Note whether a way is in the round: waits for its turn, not just for a connection in the making."""
        waiting = way.calls.waiting
        if waiting and (way.roomy or way.wants(waiting)):
            self._round.setdefault(way)
        else:
            self._round.pop(way, None)
            if not waiting and not way.making and not way.trunks and self._ways.get(way.place) is way:
                del self._ways[way.place]

    def _sort(self, way: Way | None, turns: list[Turn]) -> None:
        """After something has changed (on one way): let in who can be, in turn."""
        if way is not None:
            self._stand(way)
        while self._round:
            first = next(iter(self._round))
            if first.roomy:
                grant: Grant = self._get_on(first.roomy[-1])
            elif self.in_use < self.limit:
                grant = self._permit(first)
            else:
                return
            turns.append(self._serve(first, grant))
            self._round.move_to_end(first)
            self._stand(first)

    def _leave(self, trunk: Trunk, keep: bool, failed: bool, turns: list[Turn]) -> bool:
        way = trunk.way
        trunk.carries -= 1
        if trunk.making and failed and way.width is None:
            way.width = 1
        self._made(trunk)
        if not keep:
            trunk.draining = True
        self._room(trunk)
        self._sort(way, turns)
        if trunk.carries:
            return False
        if trunk in way.roomy:
            way.roomy.remove(trunk)
        way.trunks -= 1
        self._stand(way)
        return True

    def _forgo(self, way: Way, turns: list[Turn]) -> None:
        way.making -= 1
        self.in_use -= 1
        self._sort(way, turns)

    def _discard(self, turn: Turn, turns: list[Turn]) -> None:
        if turn.state == "waiting":
            turn.way.calls.discard(turn)
            self.waiting -= 1
            self._sort(turn.way, turns)

    # -- outside it

    def _deliver(self, turns: list[Turn]) -> None:
        """Wake who was granted; what cannot be woken passes it on."""
        for turn in turns:
            if not turn.waiter.wake():
                self._dropped.append(turn)
        self._collect()

    def _collect(self) -> None:
        while self._dropped and self._lock.acquire(blocking=False):
            turns: list[Turn] = []
            try:
                while self._dropped:
                    self._take_back(self._dropped.popleft(), turns)
            finally:
                self._lock.release()
            for turn in turns:
                if not turn.waiter.wake():
                    self._dropped.append(turn)

    def _take_back(self, thing: Grant | Turn, turns: list[Turn]) -> None:
        """Under the lock: something that was dropped, or could not be woken."""
        if isinstance(thing, Turn):
            self._discard(thing, turns)
            grant = thing.grant if thing.state == "granted" else None
            thing.state = "gone"  # it has nothing to give back any more
            if grant is None:
                return
            thing = grant
        if isinstance(thing, Way):
            self._forgo(thing, turns)
        elif self._leave(thing, False, False, turns):
            thing.pool.abandoned.append(thing)
            self.in_use -= 1
            self._sort(None, turns)

    def __repr__(self) -> str:
        return f"<Ways {self.in_use}/{self.limit:g} connections in use, {self.waiting} calls waiting>"
