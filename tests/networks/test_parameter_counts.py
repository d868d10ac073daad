"""The networks have as many parameters as published ones, or the table says by what they differ."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pytest
import torch

from benchmarks.render.published import read_reported
from gan_lightning import TECHNIQUES


class Published(NamedTuple):
    """Published networks for RGB images, their parameters counted from the layers of the code.

    ``options`` build ours; ``generator`` and ``critic`` say what ours have more of, or below 0
    fewer.
    """

    source: str
    technique: str
    size: int
    options: Mapping[str, object]
    counts: tuple[int, int]
    generator: Mapping[str, int] = MappingProxyType({})
    critic: Mapping[str, int] = MappingProxyType({})
    num_classes: int = 0


KERNELS = "4 x 4 kernels, not 5 x 5"
BY_CHANNEL = "batch normalisation of the projected map by channel, not feature by feature"
NO_BIAS = "no bias before batch normalisation, which would remove it"
BIAS = "a bias where no normalisation follows"
BIAS_TOO = "a bias also where a normalisation follows"

# The CNN of table 3 and that of the code have the same generator.
CNN_GENERATOR = 3_828_739
CNN_DIFFERENCES = {BY_CHANNEL: -2 * (512 * 16 - 512), NO_BIAS: -(512 * 16 + 256 + 128 + 64)}

SCALES = "learned scales in batch normalisation"
BY_FEATURE = "shifts of the projected map by channel, not feature by feature"
NO_WEIGHT_NORM = "no weight normalisation in the last layer"
IMPROVED_GAN = 4_933_382
IMPROVED_GAN_DIFFERENCES = {
    SCALES: 512 + 256 + 128,
    BY_FEATURE: 512 - 512 * 16,
    NO_WEIGHT_NORM: -3,
}
ONE_LOGIT = "one logit, not ten, and not weight-normalised"

PUBLISHED = [
    Published(
        "Newmu/dcgan_code, faces/train_uncond_dcgan.py",
        "dcgan",
        64,
        {"critic_width": 128},
        (18_885_760, 17_232_768),
        {
            KERNELS: -(5**2 - 4**2) * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3),
            BY_CHANNEL: -2 * (1024 * 16 - 1024),
            BIAS: 3,
        },
        {
            KERNELS: -(5**2 - 4**2) * (3 * 128 + 128 * 256 + 256 * 512 + 512 * 1024),
            BIAS: 128 + 1,
        },
    ),
    Published(
        "pytorch/examples, dcgan/main.py",
        "dcgan",
        64,
        {"generator_width": 64},
        (3_576_704, 2_765_568),
        {BIAS: 3},
        {BIAS: 64 + 1},
    ),
    Published(
        "martinarjovsky/WassersteinGAN, models/dcgan.py",
        "wgan",
        64,
        {"generator_width": 64},
        (3_576_704, 2_765_568),
        {BIAS: 3},
        {BIAS: 64 + 1},
    ),
    Published(
        "igul222/improved_wgan_training, gan_cifar_resnet.py, unconditional",
        "wgan_gp",
        32,
        {},
        (1_204_483, 1_053_825),
    ),
    Published(
        "igul222/improved_wgan_training, gan_64x64.py, GoodGenerator and GoodDiscriminator",
        "wgan_gp",
        64,
        {"critic_norm": "layer"},
        (8_540_483, 7_491_841),
        {BIAS_TOO: 512 + 256 + 128 + 64},
        {BIAS_TOO: 64 + 128 + 256 + 512},
    ),
    Published(
        "carpedm20/BEGAN-tensorflow, models.py, 64 filters",
        "began",
        32,
        {},
        (489_539, 2_310_979),
    ),
    Published(
        "carpedm20/BEGAN-tensorflow, models.py, 64 filters",
        "began",
        64,
        {},
        (563_395, 4_011_651),
    ),
    Published(
        "carpedm20/BEGAN-tensorflow, models.py, 128 filters",
        "began",
        128,
        {"generator_width": 128, "critic_width": 128},
        (2_011_779, 23_221_443),
    ),
    Published(
        "pfnet-research/chainer-gan-lib, common/net.py; the critic of arXiv:1802.05957, table 3",
        "sngan",
        32,
        {"network": "sndcgan"},
        (CNN_GENERATOR, 2_935_873),
        CNN_DIFFERENCES,
    ),
    Published(
        "pfnet-research/chainer-gan-lib, common/net.py",
        "sngan",
        32,
        {"network": "sndcgan_wide"},
        (CNN_GENERATOR, 5_860_865),
        CNN_DIFFERENCES,
    ),
    Published(
        "pfnet-research/sngan_projection, resnet_32.py and snresnet_32.py",
        "sngan",
        32,
        {},
        (4_276_739, 1_053_824),
        critic={BIAS: 1},
    ),
    Published(
        "pfnet-research/sngan_projection, resnet.py and snresnet.py, unconditional",
        "sngan",
        128,
        {},
        (32_150_787, 29_017_857),
    ),
    Published(
        "brain-research/self-attention-gan, generator_test and discriminator_test",
        "sagan",
        128,
        {},
        (42_078_852, 39_463_618),
        num_classes=1000,
    ),
    *(
        Published(
            "tkarras/progressive_growing_of_gans, networks.py", "progressive", size, {}, counts
        )
        for size, counts in (
            (32, (20_719_628, 20_726_785)),
            (64, (22_490_383, 22_498_049)),
            (128, (22_933_394, 22_941_313)),
        )
    ),
    Published(
        "ajbrock/BigGAN-PyTorch, BigGAN.py and scripts/launch_cifar_ema.sh",
        "biggan",
        32,
        {},
        (4_304_387, 4_207_361),
        num_classes=10,
    ),
    Published(
        "POSTECH-CVLab/PyTorch-StudioGAN, configs/CIFAR10/BigGAN.yaml",
        "biggan",
        32,
        {"network": "biggan", "latent_dim": 80},
        (9_416_196, 2_415_170),
        num_classes=10,
    ),
    Published(
        "ajbrock/BigGAN-PyTorch, BigGAN.py and scripts/launch_BigGAN_bs256x8.sh",
        "biggan",
        128,
        {"network": "biggan", "latent_dim": 120},
        (70_433_988, 87_982_370),
        num_classes=1000,
    ),
    Published(
        "openai/improved-gan, mnist_svhn_cifar10/train_cifar_feature_matching.py",
        "feature_matching",
        32,
        {},
        (IMPROVED_GAN, 1_406_804),
        IMPROVED_GAN_DIFFERENCES,
        {ONE_LOGIT: 192 + 1 - 10 * (192 + 2)},
    ),
    Published(
        "openai/improved-gan, mnist_svhn_cifar10/train_cifar_minibatch_discrimination.py",
        "minibatch_discrimination",
        32,
        {},
        (IMPROVED_GAN, 1_504_404),
        IMPROVED_GAN_DIFFERENCES,
        {ONE_LOGIT: 292 + 1 - 10 * (292 + 2)},
    ),
    Published(
        "NVlabs/stylegan2-ada-pytorch, training/networks.py, the preset cifar",
        "stylegan2",
        32,
        {"network": "stylegan2_plain", "mapping_layers": 2},
        (20_215_315, 23_089_664),
        num_classes=10,
    ),
    Published(
        "NVlabs/stylegan2-ada-pytorch, training/networks.py, the preset cifar, unconditional",
        "stylegan2",
        32,
        {"network": "stylegan2_plain", "mapping_layers": 2},
        (19_947_539, 20_720_641),
    ),
    Published(
        "brownvc/R3GAN, R3GAN/Networks.py, the preset for CIFAR-10",
        "r3gan",
        32,
        {},
        (20_781_952, 21_280_512),
        num_classes=10,
    ),
]

# Ours where nothing is published, from the shapes of the layers.
OURS = [
    ("dcgan", 64, {}, (12_658_435, 2_765_633)),
    ("wgan", 64, {}, (12_658_435, 2_765_633)),
    ("lsgan", 64, {}, (27_797_251, 2_765_633)),
    ("sagan", 32, {}, (4_358_660, 1_074_306)),
    ("sagan", 64, {}, (8_561_924, 9_583_810)),
    ("sagan", 128, {}, (32_232_708, 38_439_618)),
    ("began", 64, {"skip_connections": True}, (673_987, 4_122_243)),
    ("stylegan", 64, {}, (25_131_779, 22_489_857)),
    ("stylegan2", 64, {}, (23_819_544, 23_407_361)),
    ("r3gan", 64, {}, (22_429_824, 22_381_440)),
]


def count(technique, size, num_classes=0, **options):
    with torch.device("meta"):
        model = TECHNIQUES[technique]((3, size, size), num_classes, **options)
    return tuple(
        sum(p.numel() for p in network.parameters()) for network in (model.generator, model.critic)
    )


@pytest.mark.slow
@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.technique} {row.source}")
def test_ours_have_the_published_number_of_parameters_but_for_what_the_table_says(row):
    ours = count(row.technique, row.size, row.num_classes, **row.options)
    for name, published, mine in zip(("generator", "critic"), row.counts, ours, strict=True):
        reasons = dict(getattr(row, name))
        assert mine == published + sum(reasons.values()), f"{name}, which has {reasons} of its own"


@pytest.mark.slow
@pytest.mark.parametrize(("technique", "size", "options", "expected"), OURS)
def test_networks_that_nobody_published_have_the_parameters_of_their_layers(
    technique, size, options, expected
):
    assert count(technique, size, **options) == expected


def test_the_pages_name_the_published_counts_of_this_table_and_remark_on_those_that_differ():
    table = [
        (
            row.technique,
            row.size,
            {**row.options, **({"num_classes": row.num_classes} if row.num_classes else {})},
            row.counts,
            bool(row.generator or row.critic),
        )
        for row in PUBLISHED
    ]
    named = [
        (
            row["technique"],
            row["size"],
            row.get("options", {}),
            (row["generator"], row["critic"]),
            "remark" in row,
        )
        for row in read_reported().parameters
        if "generator" in row
    ]
    assert named
    assert [row for row in named if row not in table] == []
