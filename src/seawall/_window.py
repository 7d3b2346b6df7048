"""Counting over a time window: rotating buckets with running totals, so that every step is O(1)."""

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

    def add_success(self, now: float) -> None:
        """Count one call that ended well now."""
        if now >= self._turn:
            self.advance(now)
        self._bucket[0] += 1
        self.calls += 1

    def add(self, now: float, failed: bool, slow: bool) -> None:
        """Count one call that ended now."""
        self.add_success(now)
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
