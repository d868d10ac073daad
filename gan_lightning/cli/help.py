"""The help of a command of the trainer: our options before Lightning's, or one group alone."""

import re
import textwrap
from collections.abc import Sequence

#: The groups of options, in the order of the help; the first two choose a class.
GROUPS = ("model", "data", "evaluate", "checkpoint", "samples", "diversity", "trainer")
#: What the help begins with.
HINT = (
    "--model.help CLASS and --data.help CLASS list the options of a class; "
    f"{', '.join(f'--{group}.help' for group in GROUPS[2:])} those of a group."
)


def asked_group(args: Sequence[str]) -> str:
    """The group whose options an argument such as ``--evaluate.help`` asks for; "" for none."""
    asked = {f"--{group}.help": group for group in GROUPS[2:]}
    return next((asked[arg] for arg in args if arg in asked), "")


def ours_first(text: str, group: str = "") -> str:
    """The help of a command with a short usage, and Lightning's trainer at the end.

    With ``group``, its section alone. Another help, that of the program, is returned as it is.
    """
    found = re.match(r"usage: gan-lightning \[options\] (\w+) ", text)
    if found is None:
        return text
    _, *sections = re.split(r"\n\n(?=\S)", text.rstrip("\n"))
    usage = f"usage: gan-lightning {found[1]}"
    if group:
        chosen = [section for section in sections if _group(section) == group]
        return "\n\n".join([f"{usage} [--{group}.OPTION VALUE ...]", *chosen]) + "\n"
    usage += " --model CLASS --data CLASS [--config NAME] [--GROUP.OPTION VALUE ...]"
    description, *sections = sections
    first = f"{description} {HINT}"
    order = ("", *GROUPS[:-1], "Linked arguments", GROUPS[-1])
    sections.sort(key=lambda section: order.index(_group(section)))
    return "\n\n".join([usage, textwrap.fill(first, 79), *sections]) + "\n"


def _group(section: str) -> str:
    """The group that the options of a section belong to; "" for those of the command itself."""
    if section.startswith(linked := "Linked arguments"):
        return linked
    found = re.search(r"^  --(\w+)[. ]", section, re.MULTILINE)
    return found[1] if found and found[1] in GROUPS else ""
