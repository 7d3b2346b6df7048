"""Policies in a readable form that is the same in every process: one a line, sets in order, no addresses."""

import re
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import seawall


def settings(policies: seawall.Stack | seawall.Endpoints) -> str:
    """The policies with all settings that are not what they are by default."""
    if isinstance(policies, seawall.Stack):
        return _stack(policies)
    return "\n\n".join(f"{endpoint.pattern}: {_stack(endpoint.stack)}" for endpoint in policies)


def _stack(stack: seawall.Stack) -> str:
    return "Stack(\n" + "".join(f"    {_told(policy)},\n" for policy in stack) + ")"


def _told(value: Any) -> str:
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}({', '.join(_changed(value))})"
    if isinstance(value, AbstractSet):
        return f"{{{', '.join(sorted(map(_told, value)))}}}"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_told, value))})"
    if "__repr__" not in _defined(value) and hasattr(value, "__dict__"):  # a strategy of tenacity's, for one
        return f"{type(value).__name__}({', '.join(f'{name}={_told(part)}' for name, part in vars(value).items())})"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _defined(value: Any) -> set[str]:
    """What the classes of a value define, beside what every object has."""
    return {name for cls in type(value).__mro__[:-1] for name in vars(cls)}


def _changed(value: Any) -> list[str]:
    changed = []
    for field in fields(value):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if (now := getattr(value, field.name)) != default:
            changed.append(f"{field.name}={_told(now)}")
    return changed
