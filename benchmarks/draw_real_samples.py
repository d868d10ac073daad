"""Draw real samples, to see generated ones beside them: ``python -m benchmarks.draw_real_samples``.

Writes a grid of training images for each protocol whose data is here, laid out as the grids of a
run: ``--protocol NAME --data-dir FOLDER`` for data in a folder. The pictures are the same bytes for
the same data and the same version of Pillow.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.protocol import REAL_SAMPLES, Protocol
from benchmarks.protocols import PROTOCOLS
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.images import image_grid, save_image

#: Samples in the grid, and in one of its rows, as in the grids of a run.
SAMPLES, COLUMNS = 64, 8


def main(args: Sequence[str] | None = None) -> None:
    """Draw the samples of the protocols that are asked for, by default those of the digits."""
    names = [name for name, protocol in PROTOCOLS.items() if protocol.real_samples]
    parser = argparse.ArgumentParser(prog="benchmarks.draw_real_samples", description=__doc__)
    parser.add_argument("--protocol", choices=names, default="digits")
    parser.add_argument("--data-dir", help="the folder of the data, where it is in one")
    parser.add_argument("--output", type=Path, default=REAL_SAMPLES, help="the folder to write to")
    options = parser.parse_args(args)
    try:
        print(f"wrote {draw(PROTOCOLS[options.protocol], options.output, options.data_dir)}")
    except UserError as error:
        raise SystemExit(f"benchmarks.draw_real_samples: {error}") from error


def draw(protocol: Protocol, output: Path, data_dir: str | None = None) -> Path:
    """Write the picture of a protocol's real samples, drawn at random from the training images.

    Raises:
        UserError: the data is not there, or the picture cannot be written.
    """
    settings: dict[str, Any] = {
        name.removeprefix("--data."): int(value)
        for name, _, value in (argument.partition("=") for argument in protocol.arguments)
        if name == "--data.size"
    }
    if protocol.has_data_dir and data_dir is not None:
        settings["data_dir"] = data_dir
    x, _ = protocol.data_class(batch_size=SAMPLES, **settings).load("train")
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:SAMPLES]
    images = x[chosen.sort().values]
    if images.dtype == torch.uint8:
        images = images / 127.5 - 1
    path = output / f"{protocol.real_samples}.png"
    save_image(image_grid(images, COLUMNS), path)
    return path


if __name__ == "__main__":
    main()
