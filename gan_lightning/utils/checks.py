"""Checks of arguments; each error says in one sentence what is accepted."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

Choice = TypeVar("Choice", bound=str)
Number = TypeVar("Number", int, float)


def at_least(least: Number, **named: Number) -> Number:
    """The one named value; ValueError where it is smaller, or no number."""
    ((name, value),) = named.items()
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def checked_seed(seed: int) -> int:
    """The seed; ValueError for one that torch's generators do not take."""
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be from 0 to 2**63 - 1, got {seed}")
    return seed


def one_of(choices: Iterable[str], **named: Choice) -> Choice:
    """The one named value; ValueError where it is not among the choices."""
    ((name, value),) = named.items()
    if value not in choices:
        raise ValueError(f"there is no {name} {value!r}: choose from {', '.join(choices)}")
    return value


def checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a sample; ValueError where it has no dimension, or an empty one."""
    checked = tuple(int(n) for n in shape)
    if not checked or min(checked) < 1:
        raise ValueError(f"shape must be of one dimension or more, none empty; got {tuple(shape)}")
    return checked
