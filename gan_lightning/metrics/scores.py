"""Scores of features and logits, in float64 to the end, whatever batches they came in.

Features are ``(N, D)`` and logits ``(N, K)``, in the order of their samples, of any float dtype and
on any device. The arithmetic is torchmetrics' (the Frechet distance) and torch-fidelity's (the
others, whose draws and shuffles are fixed); density and coverage, which neither has, are here.
"""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance

#: torch-fidelity's, so that a score is the same in both.
SEED = 2020
#: Of the Inception score: means of so many parts. Salimans et al. 2016, arXiv:1606.03498.
SPLITS = 10
#: Of the kernel distance: so many draws of so many samples. Binkowski et al. 2018,
#: arXiv:1801.01401.
SUBSETS, SUBSET_SIZE = 100, 1000
#: Distances are computed for so many rows at a time.
ROWS = 2000


@dataclass(frozen=True)
class Moments:
    """What a Frechet distance needs of features: their count, sum ``(D,)`` and products.

    ``products`` is the sum of the outer products, ``(D, D)``; both float64.
    """

    count: int
    sum: Tensor
    products: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """Of all features ``(N, D)``."""
        total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
        products = torch.zeros(len(total), len(total), dtype=torch.float64, device=features.device)
        for part in features.split(ROWS):
            part = part.double()
            total += part.sum(dim=0)
            products += part.T @ part
        return cls(len(features), total, products)

    def to(self, device: torch.device | str) -> "Moments":
        """On another device."""
        return Moments(self.count, self.sum.to(device), self.products.to(device))

    def __add__(self, other: "Moments") -> "Moments":
        """Of both."""
        return Moments(
            self.count + other.count, self.sum + other.sum, self.products + other.products
        )


def frechet_distance(real: Moments, fake: Moments) -> float:
    """|mu_r - mu_f|^2 + tr(S_r + S_f - 2 (S_r S_f)^(1/2)); nan where a feature is not finite.

    Heusel et al. 2017, arXiv:1706.08500, equation 6.

    Raises:
        ValueError: there are fewer than 2 samples of a kind.
    """
    _check_counts(real.count, fake.count, 2, "a distance")
    if not (torch.isfinite(real.sum).all() and torch.isfinite(fake.sum).all()):
        return math.nan
    # One rank computes, of what all have gathered.
    metric = FrechetInceptionDistance(feature=Given(len(real.sum)), sync_on_compute=False)
    metric.set_dtype(torch.float64)
    metric.orig_dtype = torch.float64
    for kind, moments in (("real", real), ("fake", fake)):
        setattr(metric, f"{kind}_features_sum", moments.sum.cpu())
        setattr(metric, f"{kind}_features_cov_sum", moments.products.cpu())
        setattr(metric, f"{kind}_features_num_samples", torch.tensor(moments.count))
    with warnings.catch_warnings():
        # The states are set, not summed up.
        warnings.filterwarnings("ignore", ".*was called before the ``update``.*")
        return metric.compute().item()


def inception_score(logits: Tensor) -> float:
    """exp of the mean KL divergence of p(y|x) from p(y), the mean over 10 parts.

    Shuffled and parted as torch-fidelity does, always alike. Salimans et al. 2016,
    arXiv:1606.03498. nan where a logit is not finite.

    Raises:
        ValueError: there are fewer than 10 samples.
    """
    if len(logits) < SPLITS:
        raise ValueError(f"a score of {SPLITS} parts needs as many samples, got {len(logits)}")
    if not torch.isfinite(logits).all():
        return math.nan
    return isc_features_to_metric(logits.cpu(), SPLITS, shuffle=True, rng_seed=SEED)[
        "inception_score_mean"
    ]


def kernel_distance(real: Tensor, fake: Tensor) -> float:
    """The squared maximum mean discrepancy under a cubic kernel, the mean over 100 draws of 1000.

    Drawn as torch-fidelity does, always alike; of fewer samples all are in each draw. Binkowski et
    al. 2018, arXiv:1801.01401. nan where a feature is not finite.

    Raises:
        ValueError: there are fewer than 2 samples of a kind.
    """
    _check_counts(len(real), len(fake), 2, "a distance")
    if not (torch.isfinite(real).all() and torch.isfinite(fake).all()):
        return math.nan
    size = min(SUBSET_SIZE, len(real), len(fake))
    scores = kid_features_to_metric(
        fake.cpu().double(),
        real.cpu().double(),
        kid_subsets=SUBSETS if size < max(len(real), len(fake)) else 1,
        kid_subset_size=size,
        rng_seed=SEED,
        verbose=False,
    )
    return scores["kernel_inception_distance_mean"]


def precision_recall(real: Tensor, fake: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """The shares of generated samples among the real ones, and of real among the generated.

    Among: within the distance of a sample to its third neighbour of its kind. Kynkaanniemi et al.
    2019, arXiv:1904.06991. nan where a feature is not finite.

    Raises:
        ValueError: there are no more samples of a kind than ``neighbours``.
    """
    _check_counts(len(real), len(fake), neighbours + 1, f"a ball to {neighbours} neighbours")
    if not (torch.isfinite(real).all() and torch.isfinite(fake).all()):
        return math.nan, math.nan
    scores = prc_features_to_metric(
        fake.cpu().double(),
        real.cpu().double(),
        prc_neighborhood=neighbours,
        prc_batch_size=ROWS,
        save_cpu_ram=True,
        verbose=False,
    )
    return scores["precision"], scores["recall"]


def density_coverage(real: Tensor, fake: Tensor, neighbours: int = 5) -> tuple[float, float]:
    """How densely generated samples lie among the real ones, and the share of real ones they reach.

    With B_i the ball around a real sample to its k-th real neighbour: density is the mean over
    generated samples of the number of balls that they lie in, over k; coverage the share of balls
    that hold one. Naeem et al. 2020, arXiv:2002.09797, equations 3 and 4. nan where a feature is
    not finite.

    Raises:
        ValueError: there are no more samples of a kind than ``neighbours``.
    """
    _check_counts(len(real), len(fake), neighbours + 1, f"a ball to {neighbours} neighbours")
    if not (torch.isfinite(real).all() and torch.isfinite(fake).all()):
        return math.nan, math.nan
    real, fake = real.cpu().double(), fake.cpu().double()
    inside, reached = 0, 0
    for part in real.split(ROWS):
        # A sample is its own nearest.
        radius = torch.cdist(part, real).kthvalue(neighbours + 1, dim=1, keepdim=True).values
        within = torch.cdist(part, fake) <= radius
        inside += int(within.sum())
        reached += int(within.any(dim=1).sum())
    return inside / (neighbours * len(fake)), reached / len(real)


class Given(nn.Module):
    """Hands torchmetrics features that are extracted already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The same."""
        return features


def _check_counts(real: int, fake: int, least: int, what: str) -> None:
    for name, count in (("real", real), ("generated", fake)):
        if count < least:
            raise ValueError(f"{what} needs {least} {name} samples at least, got {count}")
