"""The protocols of this repository."""

from typing import Any

from benchmarks.protocol import EXTRACTORS, ROOT, Budget, Protocol, Target
from benchmarks.stabilizers import IMAGE_STABILIZERS, PLAIN, POINT_STABILIZERS
from benchmarks.variants import Variant, class_name

_CIFAR10_DATA = (
    "The 50,000 training images of CIFAR-10, 32 x 32. FID and Inception score are computed "
    "from 50,000 samples with TensorFlow's Inception weights, against the training images. "
)
_CIFAR10_TARGET = Target(40.0, "about what others published for DCGAN")
_SAME_NETWORKS = (
    "Every technique has the same two networks, {network}, the same batches and the same number of "
    "real images; losses, rates, critic updates and what else its paper prescribes are its own. "
)
_CPU_TERMS = (
    _SAME_NETWORKS.format(network="DCGAN's of width 16 without normalisation in the critic")
    + "One CPU thread trains them on 192,000 images in batches of 32, a small part of what the "
    "papers took and too little for those with five critic updates to a generator's: the table "
    "tells who learns fast. A small classifier of the data's ten classes compares 10,000 samples "
    "with the training images: the Frechet distance of its 128 features is not FID, and is not to "
    "be compared with any; the Inception score is on its classes, at most 10."
)


#: Data, and a classifier of it as extractor, by its name with the checksum of its weights.
_FASHION_MNIST: dict[str, Any] = {
    "data": "The 60,000 training images of Fashion-MNIST.",
    "extractor": "fashion_mnist_0495fd30",
    "target": Target(20.0, "about a tenth of what an untrained DCGAN has"),
    "real_samples": "fashion-mnist",
}
_CIFAR10_JPEG: dict[str, Any] = {
    "data": "The 50,000 training images of a copy of CIFAR-10 in JPEG files, whose coding is "
    "lossy: no score of it is one of CIFAR-10.",
    "extractor": "cifar10_jpeg_5aadd586",
    "arguments": ("--data=ImageFolder", "--data.size=32"),
    "needs": {"data.data_dir": "the folder with train/<class>/*.jpg and test/<class>/*.jpg"},
    # A tenth, as on Fashion-MNIST, is below what any run reached.
    "target": Target(20.0, "a little less than a third of what an untrained DCGAN has"),
    "real_samples": "cifar10-jpeg",
}
#: Scores that tell what a generator leaves out.
_COVERED = "--evaluate.metrics=fd,is,recall,coverage"


def _scores(count: str, extractor: str) -> tuple[str, ...]:
    """The names of the scores that ``_COVERED`` computes from so many samples."""
    return tuple(f"{metric}{count}_{extractor}" for metric in ("fd", "is", "recall", "coverage"))


def _small_dcgan(width: int) -> tuple[str, ...]:
    return (
        "--model.network=dcgan",
        *(f"--model.{network}_width={width}" for network in ("generator", "critic")),
    )


def classifier_arguments(extractor: str) -> tuple[str, ...]:
    """The arguments of a classifier as extractor, of 10,000 samples, by its full name."""
    weights = EXTRACTORS.relative_to(ROOT) / f"{extractor.rpartition('_')[0]}.pt"
    return (
        *("--evaluate.extractor=classifier", f"--evaluate.weights={weights}"),
        "--evaluate.num_samples=10000",
    )


def _on_a_cpu(
    data: str,
    terms: str,
    extractor: str,
    arguments: tuple[str, ...],
    **fields: Any,
) -> Protocol:
    """A protocol that a classifier scores, whose full name is ``extractor``, with other fields."""
    return Protocol(
        description=f"{data} {terms}",
        distance=f"fd10k_{extractor}",
        score=f"is10k_{extractor}",
        accelerator="cpu",
        arguments=(*arguments, *classifier_arguments(extractor)),
        **fields,
    )


def _small_networks(*, configs: str, arguments: tuple[str, ...] = (), **fields: Any) -> Protocol:
    """One small network and budget for all."""
    return _on_a_cpu(
        version=2,
        terms=_CPU_TERMS,
        configs=ROOT / "configs" / configs,
        seeds=(0, 1, 2),
        arguments=(*arguments, "--model.critic_norm=none", *_small_dcgan(16)),
        budget=Budget(images=192_000, batch_size=32, evaluations=6),
        **fields,
    )


#: MobileNetV2's weights are named by the environment.
_MOBILENET = (
    "--trainer.callbacks+=gan_lightning.callbacks.Evaluate",
    *(
        f"--trainer.callbacks.init_args.{option}"
        for option in ("extractor=mobilenet_v2", "metrics=fd", "num_samples=10000")
    ),
)
#: What makes training fast on one GPU.
_FAST = (
    *(f"--model.{option}=true" for option in ("compile", "cuda_graph", "channels_last")),
    "--trainer.precision=bf16-mixed",
)
_GPU_TERMS = (
    "1.6 million images in batches of 64, one seed, on one GPU, in bfloat16 with compiled "
    "objectives, CUDA graphs and channels last. Scored as in the table of small networks, and with "
    "the features of MobileNetV2, trained on ImageNet: that distance is not FID either."
)


def _on_a_gpu(
    *, terms: str, arguments: tuple[str, ...] = (), data: str, extractor: str, **fields: Any
) -> Protocol:
    """A budget for one GPU in minutes, scored without Inception's weights."""
    return Protocol(
        version=1,
        description=f"{data} {terms} {_GPU_TERMS}",
        configs=ROOT / "configs" / "cifar10",
        seeds=(0,),
        distance=f"fd10k_{extractor}",
        score=f"is10k_{extractor}",
        more_scores=(*_scores("10k", extractor)[2:], "fd10k_mobilenet_v2"),
        accelerator="gpu",
        arguments=(*arguments, *classifier_arguments(extractor), _COVERED, *_FAST, *_MOBILENET),
        budget=Budget(images=1_600_000, batch_size=64, evaluations=8),
        **fields,
    )


def _own_rows(blocks: int) -> tuple[Variant, ...]:
    """DCGAN, and the techniques that are nothing without their own networks.

    ``blocks`` is the number of upsampling blocks.
    """
    ema = "model.ema_decay=0.999"
    styles = ("model.mapping_layers=2", "model.gamma=0.1")
    options = {
        "dcgan": (ema,),
        "progressive": ("model.latent_dim=128", "model.phase_images=50000"),
        # 20 latents for the first layer and for each block.
        "biggan": (ema, "model.network=biggan", f"model.latent_dim={20 * (1 + blocks)}"),
        "stylegan": styles,
        "stylegan2": styles,
        "r3gan": (
            *("model.gamma=1", "model.last_gamma=0.1"),
            # As many images as the run has.
            *("model.schedule_images=512000", "model.ema_half_life=20000"),
            *("model.critic_lr=1e-3", "model.generator_lr=1e-3"),
        ),
    }
    # An update of BigGAN has four of the critic, each of a batch; the others are slower at 32.
    widths = {"dcgan": 32, "biggan": 32, "r3gan": 32}
    return tuple(
        Variant(
            technique,
            (
                *(
                    f"model.{net}_width={widths.get(technique, 16)}"
                    for net in ("generator", "critic")
                ),
                *own,
            ),
            class_name(technique),
            key=technique,
        )
        for technique, own in options.items()
    )


def _own_networks(
    *, extractor: str, blocks: int, arguments: tuple[str, ...], **fields: Any
) -> Protocol:
    """Each technique on its own networks, with so many upsampling blocks at these sizes."""
    return _on_a_cpu(
        version=1,
        terms=_OWN_TERMS,
        configs=None,
        seeds=(0,),
        extractor=extractor,
        arguments=(*arguments, _COVERED),
        budget=Budget(images=512_000, batch_size=64, evaluations=8),
        variants=_own_rows(blocks),
        more_scores=_scores("10k", extractor)[2:],
        **fields,
    )


_OWN_TERMS = (
    "Progressive growing, BigGAN, both StyleGANs and R3GAN on the networks of their papers, 16 "
    "channels wide, BigGAN and R3GAN 32, and DCGAN as a measure; without labels. One CPU thread "
    "trains each for about an hour, DCGAN for less: 512,000 real images in batches of 64. One "
    "seed: the table shows what they make, and ranks nothing. Scored as in the table of small "
    "networks."
)


def _stabilizers(
    name: str,
    title: str,
    data: str,
    scores: tuple[str, ...],
    rows: tuple[Variant, ...],
    budget: Budget,
    rate: str,
    arguments: tuple[str, ...],
    target: float,
    real_samples: str = "",
) -> Protocol:
    """Each stabiliser alone on a plain DCGAN; ``scores`` are the distance, the score and others."""
    distance, score, *more = scores
    return Protocol(
        name=name,
        version=1,
        title=title,
        description=f"{data} {_STABILIZER_TERMS.format(budget=budget, rate=rate)}",
        configs=None,
        seeds=(0, 1, 2),
        distance=distance,
        score=score,
        accelerator="cpu",
        arguments=(
            *("--model.critic_norm=none", "--model.latent_dim=100"),
            *(f"--model.critic_lr={rate}", f"--model.generator_lr={rate}"),
            *arguments,
        ),
        budget=budget,
        variants=rows,
        baseline=PLAIN,
        more_scores=tuple(more),
        target=Target(target, "about as near as plain DCGAN comes where it learns"),
        real_samples=real_samples,
    )


_STABILIZER_TERMS = (
    "Plain is DCGAN without normalisation in the critic, moving average, smoothed labels or "
    "unequal rates, with the non-saturating (softplus) loss, Adam at {rate} and beta1 0.5. Every "
    "other row changes what its name says, on the same networks, batches of {budget.batch_size} "
    "and {budget.images:,} real images, on one CPU thread. The difference is that of the last mean "
    "distances to plain's, with the standard deviation of the difference of two runs; it is within "
    "the seeds if Welch's test, at a level of 5 %, does not tell the means apart: with so many "
    "rows, about one in twenty passes it by chance, and three runs against three do not show a "
    "small effect: within the seeds does not mean none. All rows share plain's runs."
)
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="digits",
            version=6,
            title="Handwritten digits, 8 x 8",
            description=(
                "The 1,797 handwritten digits of scikit-learn, on one CPU thread. The last "
                "generator of each run makes 1,797 samples, which a small digit classifier "
                "compares with all real digits: `fd1797_digits_cnn` is the Frechet distance of its "
                "64 features (not FID, and not to be compared with any), `is1797_digits_cnn` is "
                'the Inception score on its ten classes, at most 10. "With labels" is told each '
                "digit's class, which the other rows are not: an easier task."
            ),
            configs=ROOT / "configs" / "digits",
            seeds=(0, 1, 2),
            distance="fd1797_digits_cnn",
            score="is1797_digits_cnn",
            accelerator="cpu",
            target=Target(20.0, "about a hundredth of what an untrained DCGAN has"),
            real_samples="digits",
            variants=(
                *(
                    Variant(
                        key, title=title, config=ROOT / "configs" / "digits" / f"{key}_ttur.yaml"
                    )
                    for key, title in (
                        ("dcgan", "DCGAN with TTUR"),
                        ("wgan_gp", "WGAN-GP with TTUR"),
                        ("began", "BEGAN with TTUR"),
                    )
                ),
                Variant("biggan", ("data.conditional=true",), "BigGAN with labels"),
            ),
        ),
        Protocol(
            name="fashion-mnist",
            version=2,
            title="Fashion-MNIST, 28 x 28",
            description=(
                "The 60,000 training images of Fashion-MNIST, each technique on its paper's "
                "networks for 20,000 generator updates. FID and Inception score are computed from "
                "10,000 samples with TensorFlow's Inception weights, against the training images."
            ),
            configs=ROOT / "configs" / "fashion_mnist",
            seeds=(0, 1, 2),
            distance="fid10k_train",
            score="is10k",
            arguments=("--evaluate.num_samples=10000",),
            real_samples="fashion-mnist",
        ),
        _small_networks(
            name="fashion-mnist-cpu",
            title="Fashion-MNIST, 28 x 28, on a CPU",
            configs="fashion_mnist",
            **_FASHION_MNIST,
        ),
        _own_networks(
            name="fashion-mnist-cpu-own",
            title="Fashion-MNIST, 28 x 28, on a CPU, own networks",
            blocks=2,
            arguments=("--data=FashionMNIST",),
            **_FASHION_MNIST,
        ),
        Protocol(
            name="cifar10-paper",
            version=2,
            title="CIFAR-10, as published",
            description=_CIFAR10_DATA
            + "Each technique has its paper's networks, batch size and rates, and 100,000 "
            "generator updates. BigGAN is trained with labels, as its authors do, the others "
            "without.",
            configs=ROOT / "configs" / "cifar10",
            seeds=(0, 1, 2),
            distance="fid50k_train",
            score="is50k",
            target=_CIFAR10_TARGET,
            show_published=True,
        ),
        Protocol(
            name="cifar10-fair",
            version=2,
            title="CIFAR-10, one network and one budget",
            description=_CIFAR10_DATA
            + _SAME_NETWORKS.format(network="SNGAN's ResNet without normalisation in the critic")
            + "The budget is 16 million images in batches of 64.",
            configs=ROOT / "configs" / "cifar10",
            seeds=(0, 1, 2),
            distance="fid50k_train",
            score="is50k",
            target=_CIFAR10_TARGET,
            show_published=True,
            arguments=("--model.network=resnet", "--model.critic_norm=none"),
            budget=Budget(images=16_000_000, batch_size=64, evaluations=20),
        ),
        _small_networks(
            name="cifar10-jpeg-cpu",
            title="CIFAR-10 (JPEG copy), 32 x 32, on a CPU",
            configs="cifar10",
            **_CIFAR10_JPEG,
        ),
        _own_networks(
            name="cifar10-jpeg-cpu-own",
            title="CIFAR-10 (JPEG copy), 32 x 32, on a CPU, own networks",
            blocks=3,
            **_CIFAR10_JPEG,
        ),
        _on_a_gpu(
            name="cifar10-jpeg",
            title="CIFAR-10 (JPEG copy), 32 x 32, on a GPU",
            terms=_SAME_NETWORKS.format(
                network="DCGAN's of width 64 without normalisation in the critic"
            ),
            **{
                **_CIFAR10_JPEG,
                "arguments": (
                    *_CIFAR10_JPEG["arguments"],
                    "--model.critic_norm=none",
                    *_small_dcgan(64),
                ),
            },
        ),
        _on_a_gpu(
            name="cifar10-jpeg-paper",
            title="CIFAR-10 (JPEG copy), 32 x 32, on a GPU, networks as published",
            terms="Each technique has its paper's networks and rates; their trainings were several "
            "to hundreds of times as long, and progressive growing has only reached 16 x 16 pixels "
            "by then.",
            **_CIFAR10_JPEG,
        ),
        Protocol(
            name="folder",
            version=2,
            title="A folder of images",
            description=(
                "Your own images, `--data-dir`, at 64 x 64: each technique on its paper's "
                "networks. FID and Inception score are computed from as many samples as there "
                "are images."
            ),
            configs=ROOT / "configs" / "image_folder",
            seeds=(0, 1, 2),
            distance=None,
            score=None,
            needs={"data.data_dir": "the folder, or zip archive, of the images"},
        ),
        _stabilizers(
            name="digits-stabilizers",
            title="Stabilisers on handwritten digits, 8 x 8",
            data="The 1,797 handwritten digits of scikit-learn, scored as in the table of "
            "techniques.",
            scores=_scores("1797", "digits_cnn"),
            rows=IMAGE_STABILIZERS,
            budget=Budget(images=96_000, batch_size=16, evaluations=6),
            rate="2e-4",
            arguments=("--data=Digits", *_small_dcgan(32), _COVERED),
            target=60.0,
            real_samples="digits",
        ),
        _stabilizers(
            name="fashion-mnist-stabilizers",
            title="Stabilisers on Fashion-MNIST, 28 x 28",
            data="The 60,000 training images of Fashion-MNIST, scored as in the table of "
            "techniques on a CPU.",
            scores=_scores("10k", _FASHION_MNIST["extractor"]),
            rows=IMAGE_STABILIZERS,
            budget=Budget(images=128_000, batch_size=32, evaluations=4),
            rate="2e-4",
            arguments=(
                *("--data=FashionMNIST", *_small_dcgan(16), _COVERED),
                *classifier_arguments(_FASHION_MNIST["extractor"]),
            ),
            target=22.0,
            real_samples="fashion-mnist",
        ),
        *(
            _stabilizers(
                name=f"{data.lower()}-stabilizers",
                title=f"Stabilisers on {title}",
                data=f"{description} The perceptrons have three hidden layers of 128 units. A mode "
                "is reached if one of 10,000 samples is within three deviations of its centre, and "
                "`high_quality` is the share of such samples; `swd` is the sliced Wasserstein "
                "distance. WGAN, WGAN-GP and BEGAN change several things at once.",
                scores=("swd10k_train", "modes10k", "high_quality10k"),
                rows=POINT_STABILIZERS,
                budget=Budget(images=768_000, batch_size=128, evaluations=6),
                rate="5e-4",
                arguments=(f"--data={data}",),
                target=target,
            )
            for data, title, description, target in (
                ("Ring", "a ring of 8 Gaussians", "8 narrow Gaussians on a circle.", 0.15),
                ("Grid", "a grid of 25 Gaussians", "25 narrow Gaussians on a 5 x 5 grid.", 0.15),
            )
        ),
    )
}
