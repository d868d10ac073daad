"""``gan-lightning export``: a model as others load it, in a folder or on the Hugging Face hub."""

import argparse
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gan_lightning import hub
from gan_lightning.cli.front import CommandParser
from gan_lightning.cli.yaml_reader import load_yaml
from gan_lightning.gan import GAN
from gan_lightning.loading import last_of_run, load
from gan_lightning.metrics.measures import is_full_name
from gan_lightning.model_card import Facts
from gan_lightning.pretrained import FOLDER, find_pretrained
from gan_lightning.sharing import CONFIG, DTYPES, WEIGHTS, read_config
from gan_lightning.training.loggers import read_rows
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.files import user_path

_DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES}


def main(args: Sequence[str]) -> None:
    """Write the folder, push it, or both.

    Raises:
        UserError: an argument or the model cannot be used, a file not be written, or the hub not
            be reached.
    """
    options = _parser().parse_args(list(args))
    if options.output is None and options.push is None:
        raise ArgumentError("export: give --output FOLDER, --push USER/NAME, or both")
    if options.private and options.push is None:
        raise ArgumentError("export: --private is of a repository: give it with --push")
    model = load(options.ckpt_path)
    facts = facts_of(user_path(options.ckpt_path), model)
    if options.license is not None:
        facts = replace(facts, license=options.license)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) if options.output is None else options.output
        model.save_pretrained(
            folder,
            critic=options.critic,
            dtype=_DTYPES[options.dtype],
            facts=facts,
            name=options.push or "",
        )
        if options.output is not None:
            kilobytes = math.ceil((folder / WEIGHTS).stat().st_size / 1000)
            print(f"wrote {folder}, with {kilobytes:,} kB of weights")
        if options.push is not None:
            private = True if options.private else None
            print(f"pushed to {hub.push(folder, options.push, private=private)}")


def facts_of(path: Path, model: GAN) -> Facts:
    """What is known about the training of a model that was loaded from a path, or by name.

    Of a folder that was exported, what its config says. Of a run, the name of its data, and the
    scores that were logged after the last update of the checkpoint: none where there was no
    evaluation.

    Raises:
        WrongFileError: the config of an exported folder cannot be read.
    """
    name = None if os.path.exists(path) else find_pretrained(str(path))
    folder = path if name is None else FOLDER / name
    if os.path.isfile(folder / CONFIG):
        return read_config(folder).facts
    checkpoint = last_of_run(path) if os.path.isdir(path) else path
    run = checkpoint.parent.parent
    scores: dict[str, float] = {}
    for row in read_rows(run / "metrics.csv"):
        if row.get("step") == str(model.updates):
            scores |= {name: float(text) for name, text in row.items() if _is_score(name, text)}
    return Facts(data=_data_of(run / "config.yaml"), scores=scores)


def _is_score(name: str, text: str) -> bool:
    try:
        return is_full_name(name) and math.isfinite(float(text))
    except ValueError:
        return False


def _data_of(config: Path) -> str:
    """The name of the data's class in a run's config; "" where it is not told."""
    try:
        data: Any = load_yaml(config.read_text())["data"]
        return str(data["class_path"] if isinstance(data, dict) else data).rpartition(".")[2]
    except Exception:
        # A config of another form is no reason not to share the model.
        return ""


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser("export")
    parser.add_argument(
        "--ckpt_path",
        required=True,
        help="a checkpoint, the folder of a run, a folder that was exported, or a name that "
        "gan-lightning weights lists",
    )
    parser.add_argument("--output", type=user_path, help="the folder to write")
    parser.add_argument("--push", metavar="USER/NAME", help="the repository on the hub to push to")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument(
        "--critic", action="store_true", help="export the critic too, for others to train on from"
    )
    parser.add_argument(
        "--dtype",
        choices=_DTYPES,
        default="float32",
        help="of the weights in the file; 16 bits change samples a little (default: float32)",
    )
    parser.add_argument("--license", help="of the weights, such as mit or cc-by-4.0, for the card")
    return parser
