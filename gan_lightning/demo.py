"""A page that draws samples of a model, on this machine: ``gan-lightning demo``."""

import math
import os
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from gan_lightning.gan import GAN
from gan_lightning.grids import Grid, Plot, between_grid, between_plot, fills_a_box, has_styles
from gan_lightning.utils.checks import at_least, checked_seed
from gan_lightning.utils.errors import ArgumentError, MissingPackageError

if TYPE_CHECKING:
    import gradio

#: The most images, or steps, at a time; of points there are more.
MAX_IMAGES, MAX_STEPS = 64, 16
POINTS = 2000
#: The choice of all classes in turn.
ALL = -1
CSS = """
footer { display: none !important; }
.fillable { max-width: 68rem !important; margin: 0 auto !important; }
.picture .image-frame { width: 100% !important; }
.picture img {
  width: 100% !important; height: auto !important;
  object-fit: contain !important; image-rendering: pixelated;
}
.min_value, .max_value { color: var(--neutral-600) !important; }
.dark .min_value, .dark .max_value { color: var(--neutral-300) !important; }
@media (max-width: 640px) { .controls { order: 2; } }
"""


class Truncation(NamedTuple):
    """The truncations that a model takes, and what they are called; the largest does nothing."""

    least: float
    most: float
    step: float
    label: str
    info: str


def truncation_of(model: GAN) -> Truncation:
    """The range of ``sample``'s truncation that makes sense for a model."""
    if has_styles(model):
        info = "the share of the style that is left: 0 is the mean image, 1 changes nothing"
        return Truncation(0.0, 1.0, 0.05, "Truncation (psi)", info)
    most = 1.0 if fills_a_box(model) else 3.0
    info = f"latents beyond are drawn again: less is less varied, {most:g} changes nothing"
    return Truncation(0.1, most, 0.05, "Truncation", info)


def draw(
    model: GAN, seed: int, count: int, label: int | None = None, truncation: float | None = None
) -> Grid | Plot:
    """``count`` samples of a seed; of a class, or of all in turn.

    Raises:
        ArgumentError: samples are neither images nor vectors, or there is no such class.
        ValueError: a number is out of its range.
    """
    at_least(1, count=count)
    generator = _seeded(model, seed)
    if not model.is_image:
        count = POINTS
    y = None
    if model.num_classes:
        y = torch.arange(count) % model.num_classes
        y = (y if label is None else torch.full((count,), label)).to(model.device)
    x = model.sample(count, y, truncation=truncation, generator=generator)
    if not model.is_image:
        return Plot({"samples": _vectors(x)})
    return Grid(x, math.ceil(count**0.5))


def between(
    model: GAN,
    first: int,
    second: int,
    steps: int,
    label: int | None = None,
    truncation: float | None = None,
) -> Grid | Plot:
    """A walk from the first sample of a seed to that of another, of one class.

    Raises:
        ArgumentError: samples are neither images nor vectors, or there is no such class.
        ValueError: a number is out of its range.
    """
    at_least(2, steps=steps)
    y = torch.tensor([label or 0], device=model.device) if model.num_classes else None
    z = torch.cat(
        [model.draw_inputs(1, y, generator=_seeded(model, s))[0] for s in (first, second)]
    )
    y = None if y is None else y.expand(2)
    generator = _seeded(model, first)
    if not model.is_image:
        return between_plot(model, z, truncation=truncation, y=y, generator=generator)
    grid = between_grid(model, z, steps, truncation=truncation, y=y, generator=generator)
    # In rows that a telephone shows too.
    return Grid(grid.images, min(steps, 8))


def build(model: GAN, names: Sequence[str] = (), title: str = "") -> "gradio.Blocks":
    """The page: a Gradio app with a tab for samples and one for the way between two of them.

    Args:
        model: draws the samples.
        names: of its classes, by default their numbers.
        title: the heading, by default the technique's name.

    Raises:
        MissingPackageError: Gradio is not installed.
    """
    gradio = import_gradio()
    limits = truncation_of(model)
    names = list(names) or [str(i) for i in range(model.num_classes)]
    numbered = [(name, i) for i, name in enumerate(names)]
    classes = bool(model.num_classes)

    def choice(label: float, truncation: float) -> tuple[int | None, float | None]:
        return (
            None if int(label) == ALL else int(label),
            None if truncation >= limits.most else float(truncation),
        )

    def answered(make: Callable[[], Grid | Plot]) -> Image.Image:
        try:
            return make().picture()
        except ValueError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    def on_draw(seed: float, count: float, label: float, truncation: float) -> Image.Image:
        return answered(lambda: draw(model, _whole(seed), int(count), *choice(label, truncation)))

    def on_between(
        first: float, second: float, steps: float, label: float, truncation: float
    ) -> Image.Image:
        return answered(
            lambda: between(
                model, _whole(first), _whole(second), int(steps), *choice(label, truncation)
            )
        )

    def truncation_slider() -> Any:  # noqa: ANN401
        return gradio.Slider(
            limits.least,
            limits.most,
            value=limits.most,
            step=limits.step,
            label=limits.label,
            info=limits.info,
            buttons=[],
        )

    def shown(what: str) -> Any:  # noqa: ANN401
        return gradio.Image(
            label=what,
            show_label=False,
            format="png",
            buttons=["download", "fullscreen"],
            elem_classes="picture",
            interactive=False,
            alt_text=what,
        )

    name = title or type(model).__name__
    with gradio.Blocks(analytics_enabled=False, title=f"{name}: samples", fill_width=True) as app:
        gradio.Markdown(f"# {name}\n{_description(model)}")
        with gradio.Tab("Samples"), gradio.Row():
            with gradio.Column(scale=1, min_width=280, elem_classes="controls"):
                seed = gradio.Number(0, label="Seed", precision=0, minimum=0)
                count = gradio.Slider(
                    1, MAX_IMAGES, 16, step=1, label="Images", visible=model.is_image, buttons=[]
                )
                label = gradio.Dropdown(
                    [("all in turn", ALL), *numbered], value=ALL, label="Class", visible=classes
                )
                truncation = truncation_slider()
                button = gradio.Button("Next seed", variant="primary")
            with gradio.Column(scale=2, min_width=280):
                samples = shown("Samples")
        with gradio.Tab("Between two seeds"), gradio.Row():
            with gradio.Column(scale=1, min_width=280, elem_classes="controls"):
                first = gradio.Number(0, label="From seed", precision=0, minimum=0)
                second = gradio.Number(1, label="To seed", precision=0, minimum=0)
                steps = gradio.Slider(
                    2, MAX_STEPS, 8, step=1, label="Steps", visible=model.is_image, buttons=[]
                )
                label_between = gradio.Dropdown(
                    numbered or [("none", 0)], value=0, label="Class", visible=classes
                )
                truncation_between = truncation_slider()
            with gradio.Column(scale=2, min_width=280):
                path = shown("From the one to the other")
        inputs = [seed, count, label, truncation]
        between_inputs = [first, second, steps, label_between, truncation_between]
        app.load(on_draw, inputs, samples, api_name="draw")
        app.load(on_between, between_inputs, path, api_name="between")
        for each in inputs:
            each.change(on_draw, inputs, samples, show_progress="hidden", api_visibility="private")
        for each in between_inputs:
            each.change(
                on_between, between_inputs, path, show_progress="hidden", api_visibility="private"
            )
        button.click(lambda seed: _whole(seed) + 1, seed, seed, api_visibility="private")
    return app


def launch(app: "gradio.Blocks", host: str, port: int | None, *, opened: bool = False) -> str:
    """Serve the page until the process ends or ``app.close()``; returns its address.

    Raises:
        ArgumentError: the port is in use, or the host is not of this machine.
    """
    gradio = import_gradio()
    # Names of fonts of the system: nothing is loaded from elsewhere.
    theme = gradio.themes.Default(
        primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]
    ).set(block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300")
    try:
        _, url, _ = app.launch(
            server_name=host,
            server_port=port,
            share=False,
            inbrowser=opened,
            quiet=True,
            prevent_thread_lock=True,
            ssr_mode=False,
            footer_links=[],
            theme=theme,
            css=CSS,
        )
    except OSError as error:
        raise ArgumentError(
            f"no page can be shown at {host}, port {port or 'any'}: {error}"
        ) from error
    return url


def import_gradio() -> ModuleType:
    """Gradio, without its telemetry.

    Raises:
        MissingPackageError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise MissingPackageError(
            f"the page needs Gradio ({error}): pip install 'gan-lightning[demo]'"
        ) from error
    return gradio


def _description(model: GAN) -> str:
    if not model.is_image:
        return f"Generates vectors of {model.shape[0]} numbers."
    channels, *sides = model.shape
    size = " \N{MULTIPLICATION SIGN} ".join(map(str, sides))
    colour = "grey " if channels <= 2 else ""
    classes = f" of {model.num_classes} classes" if model.num_classes else ""
    return f"Generates {colour}images of {size} pixels{classes}."


def _whole(seed: float | None) -> int:
    # A field that was emptied holds None.
    return int(seed or 0)


def _seeded(model: GAN, seed: int) -> torch.Generator:
    return torch.Generator(model.device).manual_seed(checked_seed(seed))


def _vectors(x: Tensor) -> Tensor:
    if x.dim() != 2:
        raise ArgumentError(
            f"a page is of images or vectors, not of the shape {tuple(x.shape[1:])}"
        )
    return x
