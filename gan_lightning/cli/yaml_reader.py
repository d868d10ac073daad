"""The YAML of configs and values, read as jsonargparse does, but without its crashes."""

from typing import Any

import yaml
from jsonargparse import get_loader, set_loader
from lightning_utilities.core.enums import StrEnum

#: The depth of nested lists and dicts. libyaml has no limit, and overflows its stack.
MAX_DEPTH = 50

_load = get_loader("yaml")


def load_yaml(text: str) -> Any:  # noqa: ANN401
    """The value of a YAML text.

    Raises:
        YAMLError: it is not YAML, is nested too deeply, contains itself, or has an invalid value.
    """
    _check_nesting(text)
    try:
        return _load(text)
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        # PyYAML's constructors of numbers, dates and the like do not catch Python's errors.
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
            raise yaml.YAMLError(f"the alias {event.anchor} contains itself")
        if len(around) > MAX_DEPTH:
            raise yaml.YAMLError(f"more than {MAX_DEPTH} nested lists and dicts")


# Such as the defaults of Lightning's Timer: PyYAML does not represent subclasses of str.
yaml.SafeDumper.add_multi_representer(
    StrEnum, lambda dumper, value: dumper.represent_str(value.value)
)
set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))
