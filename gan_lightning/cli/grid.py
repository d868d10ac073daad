"""``gan-lightning grid``: a picture of what truncation, styles or noise do to a model's samples."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from gan_lightning.cli.front import CommandParser
from gan_lightning.cli.saved_config import check_is_checkpoint
from gan_lightning.grids import mixing_grid, noise_grid, truncation_grid
from gan_lightning.loading import load
from gan_lightning.utils.checks import checked_seed
from gan_lightning.utils.errors import ArgumentError
from gan_lightning.utils.files import user_path
from gan_lightning.utils.images import image_grid, save_image

KINDS = ("truncation", "mixing", "noise")


def main(args: Sequence[str]) -> None:
    """Write the picture.

    Raises:
        UserError: an argument or the checkpoint cannot be used, or the picture not be written.
    """
    options = _parser().parse_args(list(args))
    model = load(_checkpoint(options.ckpt_path))
    try:
        generator = torch.Generator().manual_seed(checked_seed(options.seed))
        match options.kind:
            case "truncation":
                grid = truncation_grid(model, options.rows or 4, options.values, generator)
            case "mixing":
                grid = mixing_grid(model, options.rows or 2, options.columns, generator)
            case _:
                grid = noise_grid(model, options.rows or 4, options.columns, generator)
    except ValueError as error:
        raise ArgumentError(f"grid: {error}") from error
    path = options.output or Path(f"{options.kind}.png")
    save_image(image_grid(grid.images, grid.columns), path)
    print(f"wrote {path}")


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser("grid")
    parser.add_argument(
        "--ckpt_path", type=user_path, required=True, help="a checkpoint, or the folder of a run"
    )
    parser.add_argument(
        "--kind",
        choices=KINDS,
        default="truncation",
        help="truncation: a row for each latent, a column for each truncation; mixing: rows of "
        "sources with coarse, middle and fine styles of each column; noise: a row for each latent, "
        "with new noise in each column (default: truncation)",
    )
    parser.add_argument("--rows", type=int, help="latents (default: 4), of mixing sources (2)")
    parser.add_argument("--columns", type=int, default=5, help="of mixing and noise (default: 5)")
    parser.add_argument(
        "--values",
        type=float,
        nargs="+",
        help="of truncation (default: psi 0, 0.3, 0.5, 0.7 and 1 of styles, thresholds 0.25, 0.5, "
        "1 and 2 of other latents)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of latents and noise (default: 0)")
    parser.add_argument("--output", type=user_path, help="the picture (default: KIND.png)")
    return parser


def _checkpoint(path: Path) -> Path:
    last = path / "checkpoints" / "last.ckpt"
    path = last if os.path.isfile(last) else path
    check_is_checkpoint(path)
    return path
