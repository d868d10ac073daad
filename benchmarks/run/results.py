"""The results of a run: those in its folder, as its record and its pictures, and its record."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from benchmarks.protocol import Protocol
from benchmarks.records import (
    DIVERSITY,
    Record,
    Scores,
    Status,
    frame_indices,
    read_record,
    record_path,
)
from benchmarks.run.plan import Run
from gan_lightning import GAN, load
from gan_lightning.metrics.measures import is_full_name
from gan_lightning.training.divergence import DivergedError
from gan_lightning.training.loggers import read_rows
from gan_lightning.utils.files import whole_file

#: WebP's limit is 16,383 pixels.
MAX_FILM_HEIGHT = 16_000


def current_record(
    run: Run, results: Path, say: Callable[[str], None] | None = None
) -> Record | None:
    """The record of a run, if it has its version and options; ``say`` reports a broken one."""
    path = record_path(results, *run.key)
    if not path.is_file():
        return None
    try:
        record = read_record(path)
    except ValueError as error:
        if say is not None:
            say(f"{error}: its run is repeated")
        return None
    return record if run.is_recorded_by(record) else None


def with_results(
    record: Record,
    run: Run,
    folder: Path,
    code: int,
    paths: Mapping[str, str],
    checkpoint: Path | None,
) -> Record:
    """The record of a run without results, with those in its folder.

    Args:
        record: a record without results, with the last line of its output as ``message``.
        run: the run.
        folder: the folder with its config and its logs.
        code: the exit code of its process.
        paths: the options with the paths of this machine.
        checkpoint: its last checkpoint.
    """
    config = resolved_config(folder, paths)
    gan = None if checkpoint is None else _load(run, checkpoint)
    images = _images_per_update(config, gan)
    distance, score, curve = _learning_curve(folder, images, run.protocol)
    names = (distance, score, *run.protocol.more_scores, *DIVERSITY)
    last = _scores(curve[-1], names) if curve else {}
    updates = int(curve[-1]["update"]) if curve else 0
    status, message = _status(code, record.message)
    if status == "finished":
        if not curve:
            status, message = "failed", f"it logged no {distance or 'Frechet distance'}"
        elif updates < run.updates:
            status, message = "failed", f"ended after {updates} of {run.updates} updates"
        elif not last or not all(map(math.isfinite, last.values())):
            status, message = "diverged", "the last scores are not finite"
    finite = [point for point in curve if all(map(math.isfinite, point.values()))]
    return replace(
        record,
        status=status,
        message=message,
        distance=distance,
        score=score,
        untrained=_scores(finite[0], names) if finite and not finite[0]["update"] else {},
        last=last if status == "finished" else {},
        best=min(finite, key=lambda point: point[distance], default={}),
        curve=finite,
        budget={
            "generator_updates": updates,
            "critic_updates": _critic_updates(gan, updates),
            "images": updates * images,
        },
        config=config,
    )


def _status(code: int, message: str) -> tuple[Status, str]:
    """The status that an exit code stands for, and the message of a run that has not finished."""
    if code == DivergedError.exit_code:
        return "diverged", message
    return ("failed", message) if code else ("finished", "")


def resolved_config(folder: Path, paths: Mapping[str, str]) -> dict[str, Any]:
    """The resolved config without the paths of this machine."""
    file = folder / "config.yaml"
    if not file.is_file():
        return {}
    config: dict[str, Any] = yaml.safe_load(file.read_text())
    config.pop("ckpt_path", None)
    config["trainer"].pop("logger")
    config["evaluate"].pop("cache_dir")
    for option in paths:
        group, _, name = option.partition(".")
        settings = config[group]
        (settings.get("init_args") or settings).pop(name, None)
    return config


def _load(run: Run, checkpoint: Path) -> GAN:
    run.row.model_class()  # only classes that are imported can be loaded
    return load(checkpoint)


def _images_per_update(config: dict[str, Any], gan: GAN | None) -> int:
    if not config:
        return 0
    # A class with its own constructor need not take it as an argument.
    n_critic = config["model"]["init_args"].get("n_critic") or (gan.n_critic if gan else 0)
    batch_size = int(config["data"]["init_args"]["batch_size"])
    return int(n_critic) * batch_size * int(config["trainer"]["devices"])


def _critic_updates(gan: GAN | None, updates: int) -> int:
    """Critic updates of so many generator updates, including long critic phases."""
    if gan is None:
        return 0
    return sum(gan.critic_updates(update) for update in range(updates))


def _learning_curve(folder: Path, images: int, protocol: Protocol) -> tuple[str, str, list[Scores]]:
    """The names of the distance and the score, and the logged evaluations.

    ``images`` are the real images of one update.
    """
    rows: dict[int, dict[str, float]] = {}
    for row in read_rows(folder / "metrics.csv"):
        values = {name: float(value) for name, value in row.items() if value}
        rows.setdefault(int(values.pop("step")), {}).update(values)
    logged = sorted({name for row in rows.values() for name in row if is_full_name(name)})
    distance, score = (
        given or next((name for name in logged if name.startswith(metrics)), "")
        for given, metrics in ((protocol.distance, ("fid", "fd")), (protocol.score, "is"))
    )
    return (
        distance,
        score,
        [
            {"update": step, "images": step * images}
            | {
                name: row[name]
                for name in (
                    *("train_seconds", "compile_seconds", distance, score),
                    *protocol.more_scores,
                    *DIVERSITY,
                )
                if name in row
            }
            for step, row in rows.items()
            if distance in row
        ],
    )


def _scores(point: Scores, names: Iterable[str]) -> Scores:
    return {name: point[name] for name in names if name in point}


def save_film(pictures: list[Path], path: Path) -> None:
    """Save the pictures one below the other, at most ``FRAMES`` of them, as one WebP picture.

    A page shows any of them by moving the picture, which an animation does not allow.
    """
    frames = [Image.open(pictures[i]).convert("RGB") for i in frame_indices(len(pictures))]
    width, height = frames[0].size
    film = Image.new("RGB", (width, height * len(frames)))
    for i, frame in enumerate(frames):
        film.paste(frame, (0, height * i))
    if film.height > MAX_FILM_HEIGHT:
        film = film.resize((film.width * MAX_FILM_HEIGHT // film.height, MAX_FILM_HEIGHT))
    with whole_file(path) as file:
        film.save(file, "WEBP", quality=80, method=6)
