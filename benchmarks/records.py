"""One immutable JSON record per run, with a picture of its samples beside it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks.protocol import Protocol
from gan_lightning.errors import WrongFileError, one_line
from gan_lightning.files import whole_file

Scores = dict[str, float]
Status = Literal["finished", "diverged", "failed"]
#: Than any number of a record.
LARGEST = 1e100


@dataclass(frozen=True)
class Record:
    """What one (protocol, technique, seed) gave, and all that it takes to run it again.

    Args:
        protocol: its name.
        protocol_version: its version.
        technique: the key in ``TECHNIQUES``.
        seed: of the run.
        status: ``finished``; ``diverged``, when the last scores are not finite; or ``failed``.
        message: the last line of a failed run's output.
        distance: the name of the Frechet distance among the scores; lower is better.
        score: the name of the Inception-like score; higher is better.
        untrained: scores before the first update.
        last: scores after the last update, which rank.
        best: scores at the update with the smallest distance.
        curve: scores at every evaluation, with ``update``, real ``images`` seen and
            ``train_seconds``, in which nothing was scored.
        budget: ``generator_updates``, ``critic_updates`` and real ``images`` seen.
        wall_seconds: of the whole process, its start and evaluations included; of several, where
            it was interrupted, without what was lost.
        peak_memory_bytes: the most that the process held of a GPU's memory, or, on a CPU, its
            largest resident size.
        device: what it ran on.
        versions: of Python and the libraries that compute.
        commit: of this repository, with ``-dirty`` behind it when files had changed.
        config: resolved, every default written out.
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


def record_path(results: Path, protocol: str, technique: str, seed: int) -> Path:
    """Where the record is.

    Its samples have the suffix ``.png``, and those of all its evaluations, in turn, ``.webp``.
    """
    return results / protocol / technique / f"seed{seed}.json"


def write_record(record: Record, results: Path) -> Path:
    """Write a record at once or not at all."""
    path = record_path(results, record.protocol, record.technique, record.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(asdict(record), indent=1, allow_nan=False) + "\n")
    return path


def write_whole(path: Path, text: str) -> None:
    """Write a file at once or not at all."""
    with whole_file(path, "w") as file:
        file.write(text)


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        WrongFileError: the file is not a record.
    """
    try:
        content = json.loads(path.read_text())
        # The first records named their scores only where they had them.
        names = [*content.get("untrained", {}), "", ""]
        record = Record(**{"distance": names[0], "score": names[1]} | content)
        _check(record)
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise WrongFileError(f"{path} is not a record: {one_line(str(error))}") from error
    return record


def _check(record: Record) -> None:
    """Raises ValueError, OverflowError where a value is not what the tables take it for."""
    texts = (record.protocol, record.technique, record.message, record.distance, record.score)
    for text in (*texts, record.commit, *record.versions.values()):
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is not a text")
        text.encode()  # half of a surrogate pair cannot be written
    if record.status not in get_args(Status):
        raise ValueError(f"{record.status!r} is not a status")
    for whole in (record.protocol_version, record.seed, record.peak_memory_bytes):
        if type(whole) is not int or whole < 0:
            raise ValueError(f"{whole!r} is not a count")
    if not isinstance(record.config, dict) or not isinstance(record.device, dict):
        raise ValueError("its config and its device are not objects")
    scores = [record.untrained, record.last, record.best, *record.curve]
    numbers = [number for values in scores for number in values.values()]
    numbers += record.budget.values()
    for number in (record.wall_seconds, *numbers):
        if type(number) not in (int, float) or not abs(float(number)) < LARGEST:
            raise ValueError(f"{number!r} is not a number")
    for point in record.curve:
        if any(point.get(name, 0) < 0 for name in ("update", "images", "train_seconds")):
            raise ValueError("its curve has counts below 0")
        if not {"update", record.distance} <= point.keys():
            raise ValueError(f"its curve lacks update or {record.distance}")
    if record.status == "finished" and record.distance not in record.last:
        raise ValueError(f"it is finished, and lacks {record.distance}")
    if not {"generator_updates", "images"} <= record.budget.keys():
        raise ValueError("its budget lacks generator_updates or images")


def read_records(results: Path, protocol: Protocol) -> list[Record]:
    """The records of a protocol, of any version, in the order of techniques and seeds."""
    paths = (
        record_path(results, protocol.name, technique, seed)
        for technique in protocol.techniques
        for seed in protocol.seeds
    )
    return [read_record(path) for path in paths if path.is_file()]
