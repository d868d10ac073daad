"""Scores of two sets of images: tensors, folders, zip archives, or what a model generates.

``fid``, ``kid``, ``inception_score`` and ``precision_recall`` are on Inception; ``score`` computes
any scores on any network. They are what ``gan-lightning score`` prints.
"""

from __future__ import annotations

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypedDict

import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from typing_extensions import Unpack

from gan_lightning.data.sources import FilesSource, FolderSource, ZipSource
from gan_lightning.metrics.extractors import Extractor, load_extractor
from gan_lightning.metrics.features import Features, batches_of, collect
from gan_lightning.metrics.measures import (
    MEASURES,
    METRIC_NAMES,
    check_counts,
    compute_scores,
    full_name,
    resolve_metrics,
    select_measures,
    too_few_warning,
)
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import ArgumentError, TooFewSamplesError, WrongFileError
from gan_lightning.utils.files import user_path

if TYPE_CHECKING:
    from gan_lightning.gan import GAN

#: A set of images: a tensor ``(N, C, H, W)``, uint8 or float in [-1, 1]; the path of a folder or
#: zip archive; or a model that generates them.
Images: TypeAlias = "Tensor | str | Path | GAN"


class Options(TypedDict, total=False):
    """The options of ``score`` that the scores on Inception have too."""

    num_samples: int | None
    weights: str | Path | None
    batch_size: int | None
    device: torch.device | str | None
    seed: int


def fid(real: Images, fake: Images, **options: Unpack[Options]) -> float:
    """The Frechet Inception distance, Heusel et al. 2017, arXiv:1706.08500; lower is better.

    Arguments and errors are those of ``score``.
    """
    return score(real, fake, ["fid"], **options)["fid"]


def kid(real: Images, fake: Images, **options: Unpack[Options]) -> float:
    """The kernel Inception distance, Binkowski et al. 2018, arXiv:1801.01401; lower is better.

    Arguments and errors are those of ``score``.
    """
    return score(real, fake, ["kid"], **options)["kid"]


def inception_score(fake: Images, **options: Unpack[Options]) -> float:
    """The Inception score, Salimans et al. 2016, arXiv:1606.03498; higher is better.

    Arguments and errors are those of ``score``.
    """
    return score(None, fake, ["is"], **options)["is"]


def precision_recall(real: Images, fake: Images, **options: Unpack[Options]) -> tuple[float, float]:
    """Precision and recall, Kynkaanniemi et al. 2019, arXiv:1904.06991, on Inception's features.

    Arguments and errors are those of ``score``.
    """
    scores = score(real, fake, ["precision", "recall"], **options)
    return scores["precision"], scores["recall"]


def score(
    real: Images | None,
    fake: Images,
    metrics: Sequence[str] | None = None,
    *,
    extractor: str = "inception",
    weights: str | Path | None = None,
    num_samples: int | None = None,
    batch_size: int | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Scores by name; a distance on another network than Inception is not FID, and not called so.

    Args:
        real: the real images; None if no score needs them.
        fake: the generated images.
        metrics: ``fid`` and ``kid``, or ``fd`` and ``kd`` on another network, ``is``,
            ``precision``, ``recall``, ``density``, ``coverage``; by default all that the extractor
            gives.
        extractor: the name of the network, see ``load_extractor``.
        weights: the file of its weights.
        num_samples: the number of images that a model generates; required for one.
        batch_size: the number of images at a time; by default 16 on a CPU, and 256 on a GPU.
        device: of the network of the extractor; by default a GPU if there is one.
        seed: of the images that a model generates, which are those of ``Evaluate`` with this seed;
            but their labels are of all classes uniformly.

    Raises:
        ArgumentError: there is no such metric, extractor or folder, or a tensor is of other values
            or another shape.
        TooFewSamplesError: there are too few images for a score.
        MissingFileError: the weights are not on disk and cannot be downloaded.
        WrongFileError: the file of weights holds something else, or no image can be read.
    """
    real_set = None if real is None else _open(real, num_samples, seed)
    fake_set = _open(fake, num_samples, seed)
    with isolate_rng():  # the network's weights are drawn before they are loaded
        network = load_extractor(extractor, weights)
    place = default_device() if device is None else torch.device(device)
    return compare(real_set, fake_set, network, place, metrics, batch_size).scores


def default_device() -> torch.device:
    """A GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Comparison(NamedTuple):
    """Scores by name, and the numbers of images that were compared."""

    scores: dict[str, float]
    real: int
    fake: int


def compare(
    real: ImageSet | None,
    fake: ImageSet,
    extractor: Extractor,
    device: torch.device,
    metrics: Sequence[str] | None = None,
    batch_size: int | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> Comparison:
    """What ``score`` does, of sets that are open; ``warn`` is called with a line to be told.

    Raises:
        UserError: as ``score`` does.
    """
    if batch_size is None:
        batch_size = 16 if device.type == "cpu" else 256
    at_least(1, batch_size=batch_size)
    every = [name for name in METRIC_NAMES if name != "is" or extractor.classes]
    names = every if metrics is None else resolve_metrics(metrics, extractor)
    measures = select_measures(MEASURES, names)
    needs_real = any(measure.needs_real for measure in measures)
    if needs_real and real is None:
        raise ArgumentError(f"real images are missing, which {', '.join(names)} compare with")
    for kind, images in (("generated", fake), ("real", real)):
        if images is not None:
            try:
                check_counts(measures, **{kind: len(images)})
            except TooFewSamplesError as error:
                raise TooFewSamplesError(f"{images}: {error}") from error
    features = []
    for images in (real if needs_real else None, fake):
        if images is None:
            features.append(Features(torch.zeros(0, extractor.num_features)))
            continue
        batches = _warn_of_grey(images, images.batches(batch_size, warn), extractor, warn)
        features.append(collect(extractor, batches, device))
        if "fd" in names and (few := too_few_warning(len(features[-1]), extractor.num_features)):
            warn(f"{images}: {few}")
    values = compute_scores(measures, *features)
    scores = {full_name(name, extractor.name): values[name] for name in names}
    return Comparison(scores, real=len(features[0]), fake=len(features[1]))


class ImageSet(ABC):
    """Images in batches; as text it is what messages call it."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of images."""

    @abstractmethod
    def batches(self, size: int, warn: Callable[[str], None]) -> Iterator[Tensor]:
        """Batches ``(B, C, H, W)`` of at most ``size`` images, uint8 or float in [-1, 1]."""


def _open(images: Images, num_samples: int | None, seed: int) -> ImageSet:
    from gan_lightning.gan import GAN

    if isinstance(images, Tensor):
        return TensorImages(images)
    if isinstance(images, (str, Path)):
        return FileImages(user_path(images))
    if isinstance(images, GAN):
        if num_samples is None:
            raise ArgumentError("num_samples is missing: how many images is the model to generate?")
        return ModelImages(images, at_least(1, num_samples=num_samples), seed)
    raise ArgumentError(
        f"images are a tensor, a path or a GAN, not {type(images).__module__}."
        f"{type(images).__qualname__}"
    )


class TensorImages(ImageSet):
    """Images in a tensor."""

    def __init__(self, images: Tensor) -> None:
        if images.dim() != 4:
            raise ArgumentError(f"images are (N, C, H, W), not {tuple(images.shape)}")
        if images.dtype != torch.uint8:
            if not images.is_floating_point():
                raise ArgumentError(f"images are uint8, or float in [-1, 1], not {images.dtype}")
            low, high = images.detach().float().aminmax() if len(images) else (0, 0)
            if low < -1.001 or high > 1.001:
                raise ArgumentError(
                    f"images of a float type are in [-1, 1], but these are in [{low:.4g}, "
                    f"{high:.4g}]: scale them, or convert those in [0, 255] to uint8"
                )
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __str__(self) -> str:
        return f"the tensor of {len(self):,} images"

    def batches(self, size: int, warn: Callable[[str], None]) -> Iterator[Tensor]:
        """See ``ImageSet``."""
        if self.images.dtype != torch.uint8 and self.images.min() >= 0:
            warn(f"{self} is taken as in [-1, 1], and has no value below 0: of [0, 1] pass 2 x - 1")
        yield from self.images.split(size)


class ModelImages(ImageSet):
    """Images that a model generates."""

    def __init__(self, model: GAN, count: int, seed: int) -> None:
        self.model, self.count, self.seed = model, count, seed

    def __len__(self) -> int:
        return self.count

    def __str__(self) -> str:
        return f"the {self.count:,} images of {type(self.model).__name__}"

    def batches(self, size: int, warn: Callable[[str], None]) -> Iterator[Tensor]:
        """See ``ImageSet``."""
        with isolate_rng():
            torch.manual_seed(self.seed)
            z, y = self.model.draw_inputs(self.count)
            for i in range(0, self.count, size):
                part = slice(i, i + size)
                yield self.model.generate(z[part], None if y is None else y[part])


class FileImages(ImageSet):
    """Images of a folder or zip archive.

    Raises:
        ArgumentError: there is none.
    """

    def __init__(self, path: Path) -> None:
        # Path's own exists raises for a name that is too long.
        if not os.path.exists(path):
            raise ArgumentError(f"there is no folder {path}")
        self.source: FilesSource = (
            ZipSource(path, split=None) if path.is_file() else FolderSource(path, split=None)
        )

    def __len__(self) -> int:
        return len(self.source)

    def __str__(self) -> str:
        return str(self.source.path)

    def batches(self, size: int, warn: Callable[[str], None]) -> Iterator[Tensor]:
        """See ``ImageSet``."""
        source, skipped = self.source, dict[int, str]()
        yield from batches_of(source, size, skipped)
        if skipped:
            i, reason = next(iter(skipped.items()))
            message = (
                f"{len(skipped)} of {len(source)} images cannot be read: {source.name(i)} "
                f"({reason})"
            )
            if len(skipped) == len(source):
                raise WrongFileError(message)
            warn(message)


def _warn_of_grey(
    images: ImageSet,
    batches: Iterator[Tensor],
    extractor: Extractor,
    warn: Callable[[str], None],
) -> Iterator[Tensor]:
    warned = False
    for batch in batches:
        if not warned and extractor.repeats_grey(tuple(batch.shape[1:])):
            warn(
                f"{extractor.name} takes colour images: grey ones in {images} are repeated to "
                "three channels"
            )
            warned = True
        yield batch
