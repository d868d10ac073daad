"""Samples of each class from the same latents."""

from collections.abc import Sequence

import torch

from gan_lightning.gan import GAN
from gan_lightning.grids.inputs import (
    POINTS,
    draw_inputs,
    sample_in_parts,
    with_images,
    with_vectors,
)
from gan_lightning.grids.pictures import Grid, Plot
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import ArgumentError

#: The most classes that a grid or a plot has by default.
MAX_CLASSES = 16


def class_grid(
    model: GAN,
    columns: int = 8,
    classes: Sequence[int] | None = None,
    generator: torch.Generator | None = None,
    *,
    names: Sequence[str] | None = None,
    truncation: float | None = None,
) -> Grid:
    """A row for each class, a column for each latent: what the label changes, and what it leaves.

    By default of all classes, the first ``MAX_CLASSES`` at most; ``names`` are those of all
    classes, by default their numbers.

    Raises:
        ArgumentError: the model has no classes, not this one, or makes no images.
    """
    shown = _classes(model, classes)
    names = _names(model, shown, names)
    z, _ = draw_inputs(with_images(model), at_least(1, columns=columns), generator)
    y = torch.tensor(shown, device=model.device).repeat_interleave(columns)
    images = sample_in_parts(model, z.repeat(len(shown), 1), y, truncation, generator)
    return Grid(images, columns, row_names=names)


def class_plot(
    model: GAN,
    classes: Sequence[int] | None = None,
    generator: torch.Generator | None = None,
    *,
    names: Sequence[str] | None = None,
) -> Plot:
    """Points of each class, from the same latents.

    Raises:
        ArgumentError: the model has no classes, not this one, or samples are not vectors.
    """
    shown = _classes(model, classes)
    names = _names(model, shown, names)
    z, _ = draw_inputs(with_vectors(model), POINTS // len(shown), generator)
    labels = torch.tensor(shown, device=model.device)
    samples = [model.sample(z=z, y=label.expand(len(z))) for label in labels]
    return Plot(dict(zip(names, samples, strict=True)))


def _classes(model: GAN, classes: Sequence[int] | None) -> list[int]:
    if not model.num_classes:
        raise ArgumentError(
            f"this {type(model).__name__} has no classes: it was trained without labels"
        )
    return list(range(min(model.num_classes, MAX_CLASSES))) if classes is None else list(classes)


def _names(model: GAN, shown: Sequence[int], names: Sequence[str] | None) -> list[str]:
    for label in shown:
        if not 0 <= label < model.num_classes:
            raise ArgumentError(
                f"there is no class {label}: they are from 0 to {model.num_classes - 1}"
            )
    return [str(label) if names is None else names[label] for label in shown]
