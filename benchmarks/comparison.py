"""Compare this machine with that of a record, before the record's run is repeated."""

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from packaging.utils import canonicalize_name

from benchmarks.environment import (
    LIBRARIES,
    commit,
    describe_processor,
    gpu_names,
    kernel_settings,
    processor,
    show_file,
    versions,
)
from benchmarks.environment_lock import (
    FOLDER,
    deviations,
    installed_versions,
    read_locks,
    read_pins,
)
from benchmarks.records import Record
from gan_lightning.utils.errors import one_line

#: Full hashes only, so that git cannot mistake a commit for an option.
COMMIT = "[0-9a-f]{40}|[0-9a-f]{64}"
#: The file name of a lock, which a shell reads as one word.
LOCK_NAME = r"\w[\w.-]*\.txt"
#: Versions that are compared otherwise: the code is the record's, and the lock lists packages.
NOT_COMPARED = ("gan-lightning", "lock")


@dataclass
class Comparison:
    """What a repeated run has in common with a record, and what not.

    Args:
        on_cpu: the record is of a CPU, where the order of sums is fixed.
        equal: what moves bits and is the same, by its name, with its value.
        different: what moves bits and differs, by its name, as ``there -> here``.
        unknown: the names of what moves bits, but is not in the record.
        packages: the other packages that differ from the record's lock, as in ``different``.
        installation: how to install the record's versions; "" if they are installed.
    """

    on_cpu: bool
    equal: dict[str, str] = field(default_factory=dict)
    different: dict[str, str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    installation: str = ""

    @property
    def exact(self) -> bool:
        """Whether equal bits are expected."""
        return self.on_cpu and not self.different and not self.unknown

    @property
    def reason(self) -> str:
        """Why equal bits are not expected."""
        if self.different:
            return one_line(f"changed: {', '.join(self.different)}")
        if not self.on_cpu:
            return "on a GPU, where the order of sums is not fixed"
        return "the record does not say whether the machine is the same"

    def __str__(self) -> str:
        """A line for each kind of difference, and what to expect."""
        lines = {
            "as in the record": [" ".join(pair) for pair in self.equal.items()],
            "different (record -> here)": [" ".join(pair) for pair in self.different.items()],
            "not in the record": self.unknown,
            "other packages (lock -> here)": [" ".join(pair) for pair in self.packages.items()],
            "to install the record's versions": [self.installation] if self.installation else [],
        }
        # A record can hold any text.
        text = [one_line(f"{title}: {', '.join(items)}") for title, items in lines.items() if items]
        if self.exact:
            expected = "equal bits are expected"
        elif self.on_cpu and not self.different:
            expected = f"equal bits are possible, but not certain: {self.reason}"
        else:
            expected = f"equal bits cannot be expected: {self.reason}"
        return "\n".join([*text, expected])

    def add(self, name: str, there: object, here: object) -> None:
        """Compare a value; None for one that the record, or this machine, does not tell."""
        if there is None:
            self.unknown.append(name)
        elif there == here:
            self.equal[name] = _shown(there)
        elif isinstance(there, list) and isinstance(here, list):
            changes = [
                *(f"-{_shown(item)}" for item in there if item not in here),
                *(f"+{_shown(item)}" for item in here if item not in there),
            ]
            self.different[name] = " ".join(changes)
        else:
            self.different[name] = f"{_shown(there)} -> {_shown(here)}"


def compare(record: Record, options: Sequence[str] = (), *, current: bool = False) -> Comparison:
    """Compare a record with this machine.

    Args:
        record: the record.
        options: override its config, on the current code.
        current: whether the current code runs, and not that of the record's commit.
    """
    device = record.device
    found = Comparison(on_cpu="threads" in device)
    for option in options:
        name, _, value = option.partition("=")
        found.different[name] = f"as recorded -> {value}"
    here = versions()
    if options or current:
        found.add("code", _code(record.commit, record.versions), _code(commit(), here))
    for name in [*here, *(name for name in record.versions if name not in here)]:
        if name not in NOT_COMPARED:
            found.add(name, record.versions.get(name), here.get(name))
    count = device.get("count")
    if found.on_cpu:
        found.add("accelerator", "cpu", "cpu")
        found.add("processor", device.get("name"), processor())
        # The run is repeated with as many processes and threads.
        found.add("devices", count, count)
        found.add("threads", device["threads"], device["threads"])
    else:
        gpus = gpu_names()[: count if isinstance(count, int) else None]
        found.add("accelerator", "cuda", "cuda" if gpus else "cpu")
        found.add("GPU", device.get("name"), " and ".join(dict.fromkeys(gpus)) or None)
        found.add("devices", count, len(gpus))
    _add_all(found, "processor ", device.get("processor"), describe_processor())
    _add_all(found, "", device.get("settings"), kernel_settings())
    if earlier := device.get("earlier_machines"):
        found.different["machines"] = f"{len(earlier) + 1} different ones, one after another -> one"
    _add_packages(found, record)
    return found


def _code(commit: str, versions: Mapping[str, str]) -> str | None:
    """The commit or, of an installed package, its version; None if neither is known."""
    version = versions.get("gan-lightning")
    return commit or (version and f"version {version}")


def _add_all(found: Comparison, prefix: str, there: object, here: Mapping[str, Any]) -> None:
    """Compare all values of a part of ``Record.device``, which old records do not have."""
    if not isinstance(there, dict):
        found.unknown += [f"{prefix}{name}" for name in here]
        return
    for name in [*here, *(name for name in there if name not in here)]:
        # What one of the two lacks is a difference: the other has it.
        found.add(f"{prefix}{name}", there.get(name, "none"), here.get(name, "none"))


def _shown(value: object) -> str:
    items = value if isinstance(value, list) else [value]
    return " ".join("none" if item is None else str(item) for item in items)


def _add_packages(found: Comparison, record: Record) -> None:
    """Compare all packages of the record's lock, and find a lock with the record's versions."""
    installed, locks = installed_versions(), read_locks()
    wanted: dict[str, str] = {
        canonicalize_name(name): record.versions[name]
        for name in LIBRARIES
        if name in record.versions and name not in NOT_COMPARED
    }
    name, pins = record.versions.get("lock", ""), _committed_lock(record)
    if pins is None:
        # The record is older than the locks, or its environment equalled none.
        fitting = (name for name, pins in locks.items() if not deviations(wanted, pins))
        name = next(fitting, "")
        pins = locks.get(name)
    else:
        for package, (there, here) in deviations(pins, installed).items():
            if package not in wanted:
                found.packages[package] = f"{there} -> {here or 'none'}"
    if not deviations(wanted if pins is None else pins, installed):
        return
    python = re.match(r"\d+\.\d+", record.versions.get("python", ""))
    with_python = f" PYTHON=python{python[0]}" if python else ""
    if pins is None:
        packages = " ".join(shlex.quote(f"{name}=={wanted[name]}") for name in wanted)
        found.installation = f"pip install {packages} (no lock file has these versions)"
    elif not deviations(pins, locks.get(name, {})):
        # Packages that were added to the lock since do no harm.
        found.installation = f"make locked LOCK={FOLDER}/{name}{with_python}"
    else:
        found.installation = (
            f"git show {record.commit}:{FOLDER}/{name} > {name} && "
            f"make locked LOCK={name}{with_python}"
        )


def _committed_lock(record: Record) -> dict[str, str] | None:
    """The packages of the lock that the record names, in its commit; None if there is none."""
    name = record.versions.get("lock", "")
    if not (re.fullmatch(LOCK_NAME, name) and re.fullmatch(COMMIT, record.commit)):
        return None
    try:
        return read_pins(show_file(record.commit, f"{FOLDER}/{name}"))
    except (OSError, subprocess.CalledProcessError):
        return None
