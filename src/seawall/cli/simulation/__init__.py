"""`seawall simulate`: a stack of yours against a scenario, in virtual time."""

from .command import Simulate

__all__ = ["Simulate"]
