"""The standard stack with other times."""

from collections.abc import Iterable
from typing import Any

import seawall


def timed(stack: Iterable[seawall.Policy[Any]], *, total: float, attempt: float) -> seawall.Stack:
    """`stack` with `total` seconds for a call, its body included, and `attempt` seconds for each attempt."""
    inside = [policy for policy in stack if not isinstance(policy, seawall.Timeout)]
    return seawall.Stack(seawall.Timeout(total), *inside, seawall.Timeout(attempt))
