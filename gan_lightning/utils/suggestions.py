"""What is answered to a name that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches


def no_such(
    what: str, name: str, choices: Iterable[str], *, listed: bool = True, lister: str = "--help"
) -> str:
    """Say that there is no such name, with the nearest of the choices and, if ``listed``, all.

    ``lister`` is what lists them otherwise.
    """
    choices = sorted(set(choices))
    near = get_close_matches(name.lower(), [choice.lower() for choice in choices], n=1, cutoff=0.7)
    answer = f"there is no {what} {name}"
    if near:
        answer += f": did you mean {next(c for c in choices if c.lower() == near[0])}?"
    if listed:
        answer += f"{'' if near else '.'} Choose from {', '.join(choices)}."
    elif not near:
        answer += f": {lister} lists them"
    return answer
