"""What styles and noise change in the images of StyleGAN and StyleGAN2."""

import torch
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.grids.inputs import draw_inputs, with_images, with_styles
from gan_lightning.grids.pictures import Grid
from gan_lightning.utils.checks import at_least


def mixing_grid(
    model: GAN,
    sources: int = 2,
    styles: int = 5,
    generator: torch.Generator | None = None,
) -> Grid:
    """Images with some layers' styles of one latent, the column's, and the rest of another's.

    The first row has the images of the columns' latents. Then come three groups of rows, one for
    each source, whose own image stands first: the coarse, the middle and the fine third of the
    layers have the style of the column. Karras et al. 2019, arXiv:1812.04948, figure 3.

    Raises:
        ArgumentError: the model has no styles.
    """
    model = with_styles(model)
    at_least(1, styles=styles)
    z, y = draw_inputs(with_images(model), sources + styles, generator)
    all_styles = model.styles(z, y)
    own, others = all_styles[:sources], all_styles[sources:]
    images = model.synthesize(all_styles)
    empty = torch.ones_like(images[:1])
    rows, names = [torch.cat([empty, images[sources:]])], ["style"]
    layers_of = torch.arange(own.shape[1], device=own.device).tensor_split(3)
    for name, layers in zip(("coarse", "middle", "fine"), layers_of, strict=True):
        for source in range(sources):
            mixed = own[source].expand_as(others).clone()
            mixed[:, layers] = others[:, layers]
            rows.append(torch.cat([images[source : source + 1], model.synthesize(mixed)]))
            names.append(name)
    return Grid(torch.cat(rows), styles + 1, row_names=names)


def noise_grid(
    model: GAN,
    rows: int = 4,
    columns: int = 5,
    generator: torch.Generator | None = None,
    *,
    y: Tensor | None = None,
) -> Grid:
    """A row for each latent, with another noise of the layers in each column.

    Karras et al. 2019, arXiv:1812.04948, figure 4. ``y`` are the rows' labels ``(rows,)``.

    Raises:
        ArgumentError: the model has no styles.
    """
    model = with_styles(model)
    at_least(1, columns=columns)
    z, y = draw_inputs(with_images(model), rows, generator, y)
    styles = model.styles(z, y).repeat_interleave(columns, dim=0)
    noise = generator or torch.Generator(model.device).manual_seed(torch.initial_seed())
    return Grid(model.synthesize(styles, noise), columns)
