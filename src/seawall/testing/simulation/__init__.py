"""Play what happens to a server, in virtual time, with the real policies.

    import seawall
    from seawall.testing.simulation import SCENARIOS, simulate

    result = simulate(SCENARIOS["stall"], seawall.standard())
    assert result.peak_amplification() < 1.5

A `Scenario` is a `Server`, `Traffic` and a fault, all plain data. `simulate` runs each client's policies as they are,
on a clock that jumps, and gives a `Result`. The same seed gives the same result to the last bit.
"""

from .distributions import Constant, Distribution, Empirical, Exponential, Lognormal, Sometimes
from .files import read_scenario, scenario_toml
from .quota import Quota
from .result import Result
from .scenario import Scenario
from .scenarios import SCENARIOS, overload
from .schedule import Schedule
from .server import Server
from .simulation import Simulation, simulate
from .tally import OUTCOMES, Calls, Tally
from .traffic import Arrivals, Bursts, Closed, Poisson, Trace, Traffic

__all__ = [
    "OUTCOMES",
    "SCENARIOS",
    "Arrivals",
    "Bursts",
    "Calls",
    "Closed",
    "Constant",
    "Distribution",
    "Empirical",
    "Exponential",
    "Lognormal",
    "Poisson",
    "Quota",
    "Result",
    "Scenario",
    "Schedule",
    "Server",
    "Simulation",
    "Sometimes",
    "Tally",
    "Trace",
    "Traffic",
    "overload",
    "read_scenario",
    "scenario_toml",
    "simulate",
]
