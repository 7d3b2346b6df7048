"""A number that changes at given times: a capacity, a rate, a share of failures."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from ... import _check

INF = float("inf")


@dataclass(frozen=True, slots=True)
class Schedule:
    """A number over time, constant between changes.

        Schedule(50, [(60, 0), (70, 50)])       # 50, from second 60 on 0, from second 70 on 50
        Schedule.during(60, 70, 0, usually=50)  # the same

    `changes` are pairs of a time in seconds and a value, in order of time; both at least 0.
    """

    value: float
    changes: Sequence[tuple[float, float]] = ()

    def __post_init__(self) -> None:
        _check.number("Schedule", "value", self.value, least=0)
        given = _check.collection("Schedule", "changes", self.changes, "pairs of a time and a value")
        last = 0.0
        for change in given:
            if not isinstance(change, tuple | list) or len(change) != 2:
                raise TypeError(f"Schedule: changes must hold pairs of a time and a value, not {change!r}")
            _check.number("Schedule", "the time of a change", change[0], least=last)
            _check.number("Schedule", "the value of a change", change[1], least=0)
            last = change[0]
        object.__setattr__(self, "changes", tuple((at, value) for at, value in given))

    @classmethod
    def during(cls, begin: float, end: float, value: float, *, usually: float) -> Self:
        """`value` from `begin` to `end`, `usually` before and after."""
        return cls(usually, [(begin, value), (end, usually)])

    @classmethod
    def of(cls, value: "float | Schedule") -> "Schedule":
        """A schedule, or a number that never changes."""
        return value if isinstance(value, Schedule) else cls(value)

    def at(self, time: float) -> float:
        """The value at a time."""
        index = bisect_right([at for at, _ in self.changes], time)
        return self.changes[index - 1][1] if index else self.value

    def pieces(self) -> Iterator[tuple[float, float, float]]:
        """Begin, end and value of each constant piece; the last ends at `inf`."""
        begin, value = 0.0, self.value
        for at, following in self.changes:
            yield begin, at, value
            begin, value = at, following
        yield begin, INF, value
