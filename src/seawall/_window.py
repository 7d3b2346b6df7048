"""Counting over a time window: rotating buckets with running totals, so that every step is O(1)."""

from collections.abc import Sequence

from ._call import INF

BUCKETS = 10


class Window:
    """Calls, failures and slow calls of the last `seconds`, in rotating buckets."""

    __slots__ = ("_bucket", "_buckets", "_index", "_turn", "_width", "calls", "failures", "slow")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / BUCKETS
        self.clear()

    def clear(self) -> None:
        self._buckets = [[0, 0, 0] for _ in range(BUCKETS)]
        self._index = -1
        self._turn = -INF
        self.calls = self.failures = self.slow = 0

    def add_successes(self, times: Sequence[float]) -> None:
        """Count calls that ended well at these times, at least one, in order."""
        if max(times) < self._turn:
            self._bucket[0] += len(times)
            self.calls += len(times)
            return
        count = 0
        for at in times:
            if at >= self._turn:
                if count:
                    self._bucket[0] += count
                    self.calls += count
                    count = 0
                self.advance(at)
            count += 1
        if count:
            self._bucket[0] += count
            self.calls += count

    def add(self, now: float, failed: bool, slow: bool) -> None:
        """Count one call that ended now."""
        self.add_successes((now,))
        if failed:
            self._bucket[1] += 1
            self.failures += 1
        if slow:
            self._bucket[2] += 1
            self.slow += 1

    def advance(self, now: float) -> None:
        """Forget what has left the window."""
        index = int(now / self._width)
        if index - self._index >= BUCKETS:
            self.clear()
        else:
            for passed in range(self._index + 1, index + 1):
                bucket = self._buckets[passed % BUCKETS]
                self.calls -= bucket[0]
                self.failures -= bucket[1]
                self.slow -= bucket[2]
                bucket[:] = 0, 0, 0
        self._index = index
        self._bucket = self._buckets[index % BUCKETS]
        self._turn = (index + 1) * self._width
