"""A film of training."""

from pathlib import Path

import torch
from PIL import Image, UnidentifiedImageError

from gan_lightning.grids.pictures import Film
from gan_lightning.utils.errors import MissingFileError, WrongFileError
from gan_lightning.utils.pictures import of_one_size, with_caption

#: The most frames of a film of training; how long it takes, and how long its last frame stays.
MAX_FRAMES, TRAINING_MILLISECONDS, LAST_MILLISECONDS = 200, 8000, 2000


def training_film(run: str | Path) -> Film:
    """The sample grids of a run, whose folder this is, one after the other: a film of training.

    All are of the same latents, ``gan_lightning.callbacks.SampleGrid``. Of many grids, evenly
    spaced ones are shown.

    Raises:
        MissingFileError: there are no grids.
        WrongFileError: one is not a picture.
    """
    folder = Path(run) / "grids"
    paths = {int(path.stem.removeprefix("step_")): path for path in folder.glob("step_*.png")}
    if not paths:
        raise MissingFileError(
            f"there are no pictures step_*.png in {folder}: an evaluation of a fit writes them"
        )
    steps = sorted(paths)
    if len(steps) > MAX_FRAMES:
        places = torch.linspace(0, len(steps) - 1, MAX_FRAMES).round().long().tolist()
        steps = [steps[place] for place in places]
    frames = of_one_size(_captioned(paths[step], f"update {step:,}") for step in steps)
    each = min(max(TRAINING_MILLISECONDS // len(frames), 40), 500)
    return Film(frames, [each] * (len(frames) - 1) + [LAST_MILLISECONDS])


def _captioned(path: Path, text: str) -> Image.Image:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            picture.load()
            return with_caption(picture, text)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise WrongFileError(f"{path} is not a picture: {error}") from error
