"""The rows of a log in the format CSV."""

import csv
from pathlib import Path


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a log, but for a last one that is incomplete; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        lines = [line for line in file if line.endswith("\n")]
    return list(csv.DictReader(lines))
