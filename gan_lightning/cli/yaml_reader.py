"""YAML of configs and values, as jsonargparse reads it, but for what would end the process."""

from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

#: Lists and dicts in each other. libyaml has no limit, but its stack has: beyond, it crashes.
MAX_DEPTH = 50

_load = get_loader("yaml")


def load_yaml(text: str) -> Any:  # noqa: ANN401
    """What the text says.

    Raises:
        YAMLError: it is not YAML, is nested too deeply, holds itself, or a date that is none.
    """
    _check_nesting(text)
    try:
        return _load(text)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        # PyYAML's own readers of numbers, dates and the like let Python's errors through.
        raise yaml.YAMLError(f"a value is not of its type: {error}") from error


def _check_nesting(text: str) -> None:
    around: list[str | None] = []
    # Events come one by one, however deep they are.
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            around.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            around.pop()
        elif isinstance(event, yaml.AliasEvent) and event.anchor in around:
            raise yaml.YAMLError(f"what is called {event.anchor} holds itself")
        if len(around) > MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_DEPTH} lists and dicts are in each other")


set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))
