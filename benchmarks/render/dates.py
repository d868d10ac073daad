"""The days of runs: records name them, and of older ones git knows the day of their commit."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from benchmarks.protocol import RESULTS, ROOT
from benchmarks.records import Record
from gan_lightning.utils.errors import WrongFileError

#: The file of days by commit, in the folder of records, so that tables do not depend on git.
FILE = "dates.json"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Dates:
    """The day of each run.

    Args:
        results: the folder of records. Of those that come with the repository, the days are known.
        records: records whose commits may be unknown so far.
        ask_git: whether to look up commits that are not in the file.
    """

    def __init__(self, results: Path, records: Iterable[Record], *, ask_git: bool) -> None:
        self.path = results / FILE
        self._known = _read(self.path)
        self._days = dict(self._known)
        self._published = _read(RESULTS / FILE)
        known = {None, *self._days, *self._published}
        commits = {_hash(record) for record in records if not record.date} - known
        if ask_git and commits:
            self._days |= _days_of_commits(sorted(filter(None, commits)))

    def of(self, record: Record) -> str:
        """The day on which a run ended, or else that of its commit; "" if neither is known."""
        if _DAY.fullmatch(record.date):
            return record.date
        commit = _hash(record) or ""
        return self._days.get(commit) or self._published.get(commit, "")

    @property
    def text(self) -> str | None:
        """The new content of the file; None if it does not change."""
        if self._days == self._known:
            return None
        return json.dumps(dict(sorted(self._days.items())), indent=1) + "\n"


def _hash(record: Record) -> str | None:
    found = _COMMIT.match(record.commit)
    return found[0] if found else None


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        days = json.loads(path.read_text())
        if not all(_COMMIT.fullmatch(key) and _DAY.fullmatch(day) for key, day in days.items()):
            raise ValueError("a day is 2026-11-26, of a commit's 40 digits")
    except (AttributeError, TypeError, ValueError) as error:
        raise WrongFileError(f"{path} does not hold the days of commits: {error}") from error
    return dict(days)


def _days_of_commits(commits: list[str]) -> dict[str, str]:
    """The days that git knows."""
    command = ["git", "-C", str(ROOT), "show", "--no-patch", "--format=%H %cs", "--ignore-missing"]
    try:
        shown = subprocess.run([*command, *commits], capture_output=True, text=True, check=False)
    except OSError:
        return {}
    return dict(line.split() for line in shown.stdout.splitlines() if _COMMIT.match(line))
