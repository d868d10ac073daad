"""Scores of features and logits, computed in float64, which do not depend on batches.

Features are ``(N, D)`` and logits ``(N, K)``, in the order of their samples, of any float dtype and
on any device. torchmetrics computes the Frechet and kernel distances and the Inception score, with
the draws and the shuffle of torch-fidelity, which are always the same.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import fmean

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

#: torch-fidelity's seed, so that both give the same scores.
SEED = 2020
#: The Inception score is the mean of this many parts. Salimans et al. 2016, arXiv:1606.03498.
SPLITS = 10
#: The kernel distance is the mean of this many draws of this many samples. Binkowski et al. 2018,
#: arXiv:1801.01401.
SUBSETS, SUBSET_SIZE = 100, 1000
#: The number of rows that are processed at a time.
ROWS = 2000
#: The most features whose Frechet distance torchmetrics computes.
MOST_FEATURES = 512


@dataclass(frozen=True)
class Moments:
    """The sums of features that a Frechet distance needs: their count, sum and products.

    ``sum`` is ``(D,)``, ``products`` the sum of the outer products, ``(D, D)``; both are float64.
    """

    count: int
    sum: Tensor
    products: Tensor

    @classmethod
    def from_features(cls, features: Tensor) -> "Moments":
        """The moments of features ``(N, D)``."""
        total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
        products = torch.zeros(len(total), len(total), dtype=torch.float64, device=features.device)
        for part in features.split(ROWS):
            part = part.double()
            total += part.sum(dim=0)
            products += part.T @ part
        return cls(len(features), total, products)

    @property
    def mean(self) -> Tensor:
        """``(D,)``."""
        return self.sum / self.count

    @property
    def covariance(self) -> Tensor:
        """``(D, D)``, unbiased."""
        return (self.products - self.count * self.mean.outer(self.mean)) / (self.count - 1)

    @cached_property
    def covariance_root(self) -> Tensor:
        """The symmetric root of the covariance, ``(D, D)``, computed once."""
        values, vectors = torch.linalg.eigh(self.covariance)
        return vectors * values.clamp(min=0).sqrt() @ vectors.T

    def to(self, device: torch.device | str) -> "Moments":
        """The same moments on another device."""
        return Moments(self.count, self.sum.to(device), self.products.to(device))

    def __add__(self, other: "Moments") -> "Moments":
        """The moments of both sets together."""
        return Moments(
            self.count + other.count, self.sum + other.sum, self.products + other.products
        )


def frechet_distance(real: Moments, fake: Moments) -> float:
    """|mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)); nan if a feature is not finite.

    Heusel et al. 2017, arXiv:1706.08500, equation 6. torchmetrics takes the eigenvalues of a matrix
    that is not symmetric, which takes long if it is large: then they are those of a symmetric one,
    on the device of the generated features.

    Raises:
        ValueError: there are fewer than 2 samples of a kind.
    """
    check_counts(real.count, fake.count, 2, "a distance")
    if not (torch.isfinite(real.sum).all() and torch.isfinite(fake.sum).all()):
        return math.nan
    if len(real.sum) > MOST_FEATURES:
        return _symmetric_frechet_distance(real, fake)
    # One rank computes it, from the moments of all ranks.
    metric = FrechetInceptionDistance(
        feature=ExtractedFeatures(len(real.sum)), sync_on_compute=False
    )
    metric.set_dtype(torch.float64)
    metric.orig_dtype = torch.float64
    for kind, moments in (("real", real), ("fake", fake)):
        setattr(metric, f"{kind}_features_sum", moments.sum.cpu())
        setattr(metric, f"{kind}_features_cov_sum", moments.products.cpu())
        setattr(metric, f"{kind}_features_num_samples", torch.tensor(moments.count))
    with warnings.catch_warnings():
        # The states are set directly, without update.
        warnings.filterwarnings("ignore", ".*was called before the ``update``.*")
        return metric.compute().item()


def _symmetric_frechet_distance(real: Moments, fake: Moments) -> float:
    """With tr (S_r S_f)^(1/2) = tr (A S_f A)^(1/2), where A is the symmetric root of S_r."""
    device = fake.sum.device
    root, covariance = real.covariance_root.to(device), fake.covariance
    product = root @ covariance @ root
    values = torch.linalg.eigvalsh((product + product.T) / 2)
    # Less than rounding errors is nothing; its root would not be.
    least = len(values) * torch.finfo(values.dtype).eps * values.max()
    roots = values.where(values > least, 0).sqrt()
    means = (real.mean.to(device) - fake.mean).square().sum()
    traces = root.square().sum() + covariance.trace()  # tr S_r = tr A A
    return (means + traces - 2 * roots.sum()).item()


def inception_score(logits: Tensor) -> float:
    """exp of the mean KL divergence of p(y|x) from p(y), the mean over 10 parts.

    The logits are shuffled and split as in torch-fidelity, with a fixed seed; torchmetrics scores
    each part. Salimans et al. 2016, arXiv:1606.03498. nan if a logit is not finite.

    Raises:
        ValueError: there are fewer than 10 samples.
    """
    count = len(logits)
    if count < SPLITS:
        raise ValueError(f"an Inception score needs at least {SPLITS} samples, got {count}")
    if not torch.isfinite(logits).all():
        return math.nan
    shuffled = logits.cpu().double()[np.random.RandomState(SEED).permutation(count)]
    bounds = [i * count // SPLITS for i in range(SPLITS + 1)]
    scores = []
    with _seeded_torchmetrics():
        metric = InceptionScore(nn.Identity(), splits=1, sync_on_compute=False)
        for start, end in pairwise(bounds):
            metric.reset()
            metric.update(shuffled[start:end])
            scores.append(metric.compute()[0].item())
    return fmean(scores)


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """The squared maximum mean discrepancy under a cubic kernel, the mean over 100 draws of 1000.

    Samples are drawn as in torch-fidelity, with a fixed seed. Draws are no larger than the smaller
    set. Binkowski et al. 2018, arXiv:1801.01401. nan if a feature is not finite.

    Raises:
        ValueError: there are fewer than 2 samples of a kind.
    """
    check_counts(len(real), len(fake), 2, "a distance")
    if not (torch.isfinite(real).all() and torch.isfinite(fake).all()):
        return math.nan
    real, fake = real.cpu().double(), fake.cpu().double()
    size = min(SUBSET_SIZE, len(real), len(fake))
    draws = np.random.RandomState(SEED)
    scores = []
    with _seeded_torchmetrics():
        metric = KernelInceptionDistance(
            nn.Identity(), subsets=1, subset_size=size, sync_on_compute=False
        )
        for _ in range(SUBSETS if size < max(len(real), len(fake)) else 1):
            metric.reset()
            metric.update(fake[draws.choice(len(fake), size, replace=False)], real=False)
            metric.update(real[draws.choice(len(real), size, replace=False)], real=True)
            scores.append(metric.compute()[0].item())
    return fmean(scores)


@contextmanager
def _seeded_torchmetrics() -> Iterator[None]:
    """The order in which torchmetrics sums is always the same, and its hints are silenced."""
    with isolate_rng(), warnings.catch_warnings():
        torch.manual_seed(SEED)
        # Of the memory that features take, and of the deviation over a single part.
        warnings.simplefilter("ignore", UserWarning)
        yield


class ExtractedFeatures(nn.Module):
    """Passes features that are already extracted to torchmetrics."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """Return the features unchanged."""
        return features


def check_counts(real: int, fake: int, minimum: int, what: str) -> None:
    """Raises ValueError if there are fewer samples of a kind than ``what`` needs."""
    for name, count in (("real", real), ("generated", fake)):
        if count < minimum:
            raise ValueError(f"{what} needs at least {minimum} {name} samples, got {count}")
