"""How long things take, or how long users think: distributions of seconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, exp, fsum, log, log1p, pi, sqrt
from random import Random

from ... import _check

Draw = Callable[[], float]


class Distribution:
    """Seconds, drawn from a stream. Subclasses say how."""

    __slots__ = ()

    @property
    def mean(self) -> float:
        """The expected value, in seconds."""
        raise NotImplementedError

    def draws(self, coin: Random) -> Draw:
        """A function that draws the next one."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Constant(Distribution):
    """Always the same: `Constant(0.1)`. Seconds, at least 0."""

    seconds: float

    def __post_init__(self) -> None:
        _check.number("Constant", "seconds", self.seconds, least=0)

    @property
    def mean(self) -> float:
        return self.seconds

    def draws(self, coin: Random) -> Draw:
        seconds = self.seconds
        return lambda: seconds


@dataclass(frozen=True, slots=True)
class Exponential(Distribution):
    """Without memory: `Exponential(0.1)`. The mean in seconds, above 0."""

    seconds: float

    def __post_init__(self) -> None:
        _check.number("Exponential", "seconds", self.seconds, above=0)

    @property
    def mean(self) -> float:
        return self.seconds

    def draws(self, coin: Random) -> Draw:
        seconds, random = self.seconds, coin.random
        return lambda: -seconds * log(1.0 - random())


@dataclass(frozen=True, slots=True)
class Lognormal(Distribution):
    """Skewed, as most latencies are: `Lognormal(0.1, cv=2)`.

    The mean in seconds, above 0; `cv`, the standard deviation as a share of the mean, at least 0.
    """

    seconds: float
    cv: float

    def __post_init__(self) -> None:
        _check.number("Lognormal", "seconds", self.seconds, above=0)
        _check.number("Lognormal", "cv", self.cv, least=0)

    @property
    def mean(self) -> float:
        return self.seconds

    def draws(self, coin: Random) -> Draw:
        variance = log1p(self.cv**2)
        sigma, middle, random = sqrt(variance), log(self.seconds) - variance / 2, coin.random

        def draw() -> float:
            normal = sqrt(-2.0 * log(1.0 - random())) * cos(2.0 * pi * random())  # G. Box and M. Muller, 1958
            return exp(middle + sigma * normal)

        return draw


@dataclass(frozen=True, slots=True)
class Empirical(Distribution):
    """Drawn from what was measured: `Empirical((0.08, 0.1, 0.4))`. Seconds, at least 0 each; at least one."""

    samples: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", _check.collection("Empirical", "samples", self.samples, "seconds"))
        if not self.samples:
            raise ValueError("Empirical: samples must hold at least one number of seconds")
        for sample in self.samples:
            _check.number("Empirical", "samples", sample, least=0)

    @property
    def mean(self) -> float:
        return fsum(self.samples) / len(self.samples)

    def draws(self, coin: Random) -> Draw:
        samples, random, count = self.samples, coin.random, len(self.samples)
        return lambda: samples[int(random() * count)]


@dataclass(frozen=True, slots=True)
class Sometimes(Distribution):
    """Another distribution, now and then many times as long: `Sometimes(Exponential(0.1), share=0.05, factor=10)`.

    `share` from 0 to 1, `factor` at least 0.
    """

    usual: Distribution
    share: float
    factor: float

    def __post_init__(self) -> None:
        if not isinstance(self.usual, Distribution):
            raise TypeError(f"Sometimes: usual must be a distribution such as Exponential(0.1), not {self.usual!r}")
        _check.number("Sometimes", "share", self.share, least=0, most=1)
        _check.number("Sometimes", "factor", self.factor, least=0)

    @property
    def mean(self) -> float:
        return self.usual.mean * (1 + self.share * (self.factor - 1))

    def draws(self, coin: Random) -> Draw:
        usual, random, share, factor = self.usual.draws(coin), coin.random, self.share, self.factor
        return lambda: usual() * (factor if random() < share else 1.0)
