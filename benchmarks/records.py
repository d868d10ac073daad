"""One immutable JSON record per run, stored next to a picture of its samples."""

import json
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from benchmarks.protocol import Protocol
from benchmarks.variants import KEY, Variant
from gan_lightning.metrics.diversity import has_collapsed
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.files import whole_file

Scores = dict[str, float]
Status = Literal["finished", "diverged", "failed"]

#: The logged distances of generated and of real samples to their nearest neighbours.
DIVERSITY = ("diversity/fake", "diversity/real")
#: What only records of rows with options or files of their own have.
OF_CUSTOM_ROWS = ("key", "title", "options", "files")
#: What else is left out of a record where it is empty: older records do not have it.
OF_NEWER_RECORDS = ("date",)
#: The most evaluations that the film of a run shows.
FRAMES = 25
#: An Inception score below this is 1.0: the classifier sees no difference between samples.
ALL_ALIKE = 1.05


@dataclass(frozen=True)
class Record:
    """The results of one (protocol, row, seed), and everything needed to repeat the run.

    Args:
        protocol: the protocol's name.
        protocol_version: the protocol's version.
        technique: the key in ``TECHNIQUES``, or the path of a class.
        seed: the run's seed.
        status: ``finished``; ``diverged``, if a loss, a weight or the last scores are not finite;
            or ``failed``.
        message: the last line of a failed run's output.
        distance: the name of the Frechet distance among the scores; lower is better.
        score: the name of the score beside it, such as the Inception-like one; higher is better.
        untrained: scores before the first update, and the diversities of samples; the protocol's
            ``more_scores`` too.
        last: the same after the last update, which determine the rank; records made before
            diversities were recorded have none.
        best: the same at the update with the smallest distance.
        curve: the same at every evaluation, with ``update``, real ``images`` seen and
            ``train_seconds``, which exclude evaluations, and where there are some
            ``compile_seconds``, which they exclude too.
        budget: ``generator_updates``, ``critic_updates`` and real ``images`` seen.
        wall_seconds: the time of the whole process, with its start and evaluations; for an
            interrupted run the sum over its processes, without the work that was lost.
        peak_memory_bytes: the peak of the memory reserved on the GPU, or, on a CPU, the peak
            resident size of the process.
        device: the hardware that the run used.
        versions: versions of Python and the main libraries.
        commit: the commit of this repository, with the suffix ``-dirty`` if files had changed.
        config: the resolved config, with all defaults.
        key: the row's key, the folder of its records; "" if it is that of the technique.
        title: the row's name in tables; "" for that of the class.
        options: the options that distinguish the row from its technique.
        files: SHA-256 of the config and the modules of a custom row, by name.
        date: the day on which the run ended, in UTC, as ``2026-11-26``; "" in older records.
    """

    protocol: str
    protocol_version: int
    technique: str
    seed: int
    status: Status
    message: str
    distance: str
    score: str
    untrained: Scores
    last: Scores
    best: Scores
    curve: list[Scores]
    budget: dict[str, int]
    wall_seconds: float
    peak_memory_bytes: int
    device: dict[str, Any]
    versions: dict[str, str]
    commit: str
    config: dict[str, Any]
    key: str = ""
    title: str = ""
    options: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    date: str = ""

    @property
    def folder(self) -> str:
        """The name of the folder of the row's records."""
        return self.key or self.technique

    def is_of(self, row: Variant) -> bool:
        """Whether it is a record of the row: of its technique, with its options."""
        return (self.technique, tuple(self.options)) == (row.technique, row.options)

    @property
    def diversity(self) -> float | None:
        """The diversity of the last samples as a share of that of real ones; None if unknown."""
        fake, real = (self.last.get(name) for name in DIVERSITY)
        return fake / real if fake is not None and real else None

    @property
    def collapse(self) -> str | None:
        """The reason why the last samples count as collapsed; None if they do not."""
        fake, real = (self.last.get(name) for name in DIVERSITY)
        if fake is not None and real and has_collapsed(fake, real):
            return f"its samples have {fake / real:.0%} of the diversity of real ones"
        score = self.last.get(self.score) if self.score.startswith("is") else None
        if score is not None and score < ALL_ALIKE:
            return f"its {self.score} is {score:.2f}, that of samples which are all alike"
        return None


def record_path(results: Path, protocol: str, row: str, seed: int) -> Path:
    """The path of a record of the row with this key.

    Its samples are stored with the suffix ``.png``, and those at its evaluations, one below the
    other, with ``.webp``.
    """
    return results / protocol / row / f"seed{seed}.json"


def frame_indices(evaluations: int) -> list[int]:
    """The evaluations that a film shows: all, or ``FRAMES`` of them at about equal distances."""
    if evaluations <= FRAMES:
        return list(range(evaluations))
    return [round(i * (evaluations - 1) / (FRAMES - 1)) for i in range(FRAMES)]


def write_record(record: Record, results: Path) -> Path:
    """Write a record completely or not at all."""
    path = record_path(results, record.protocol, record.folder, record.seed)
    content = asdict(record)
    for name in (*OF_CUSTOM_ROWS, *OF_NEWER_RECORDS):
        if not content[name]:
            del content[name]
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return path


def write_atomically(path: Path, text: str) -> None:
    """Write a file completely or not at all."""
    with whole_file(path, "w") as file:
        file.write(text)


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        WrongFileError: the file is not a record, or has values that no run writes.
    """
    try:
        content = json.loads(path.read_text())
        # The first records named their scores only as the keys of ``untrained``.
        names = [*content.get("untrained", {}), "", ""]
        record = Record(**{"distance": names[0], "score": names[1]} | content)
        for name, kind in get_type_hints(Record).items():
            _check_type(name, getattr(record, name), kind)
        _check_complete(record)
    except (AttributeError, TypeError, ValueError) as error:
        raise WrongFileError(f"{path} is not a record: {error}") from error
    except RecursionError as error:
        raise WrongFileError(f"{path} is not a record: it is nested too deeply") from error
    return record


def _check_type(name: str, value: Any, kind: Any) -> None:  # noqa: ANN401
    """Raise ValueError if a value has the wrong type or a number is not finite."""
    inner = get_args(kind)
    if get_origin(kind) is dict and isinstance(value, dict):
        for key, item in value.items():
            _check_type(f"a key of {name}", key, inner[0])
            _check_type(f"{name}[{reprlib.repr(key)}]", item, inner[1])
    elif get_origin(kind) is list and isinstance(value, list):
        for i, item in enumerate(value):
            _check_type(f"{name}[{i}]", item, inner[0])
    elif kind is str and isinstance(value, str):
        value.encode()  # a lone surrogate cannot be encoded
    elif kind in (int, float) and type(value) in (int, kind):
        # An int may be too large for a float.
        if not abs(value) <= sys.float_info.max:
            raise ValueError(f"{name} is not finite")
    elif kind is not Any and not (get_origin(kind) is Literal and value in inner):
        raise ValueError(f"{name} is {reprlib.repr(value)}")


def _check_complete(record: Record) -> None:
    """Raise ValueError if a value that tables and curves need is missing or negative."""
    required: list[tuple[str, Mapping[str, float], tuple[str, ...]]]
    required = [("budget", record.budget, ("generator_updates", "images"))]
    if record.status == "finished":
        required.append(("last", record.last, (record.distance,)))
        for i, point in enumerate(record.curve):
            required.append((f"curve[{i}]", point, ("update", record.distance)))
    for name, values, keys in required:
        for key in keys:
            if key not in values:
                raise ValueError(f"{name} has no {key}")
    if record.key and not KEY.fullmatch(record.key):
        raise ValueError(f"{reprlib.repr(record.key)} is not the key of a row")
    counts = [record.seed, record.protocol_version, record.peak_memory_bytes, record.wall_seconds]
    counts += record.budget.values()
    for point in record.curve:
        names = ("update", "images", "train_seconds", "compile_seconds")
        counts += (point.get(name, 0) for name in names)
    if min(counts) < 0:
        raise ValueError(f"{min(counts)} is not a count")


def read_records(results: Path, protocol: Protocol) -> list[Record]:
    """The records of a protocol, in any version, ordered by row and seed.

    Rows that the protocol does not have are found by their folders, and come last.

    Raises:
        WrongFileError: a file is not a record, or is the record of another run.
    """
    records = []
    keys = [row.key for row in protocol.rows]
    found = sorted(folder.name for folder in (results / protocol.name).glob("*/"))
    keys += (name for name in found if KEY.fullmatch(name) and name not in keys)
    for row in keys:
        for seed in protocol.seeds:
            path = record_path(results, protocol.name, row, seed)
            if path.is_file():
                record = read_record(path)
                key = (record.protocol, record.folder, record.seed)
                if key != (protocol.name, row, seed):
                    raise WrongFileError(f"{path} is the record of another run")
                records.append(record)
    return records
