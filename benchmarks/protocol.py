"""Benchmark protocols: the fixed, versioned conditions under which scores are comparable."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gan_lightning import TECHNIQUES, Trainer

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
THROUGHPUT = RESULTS / "throughput"
SENSITIVITY = RESULTS / "sensitivity"
RELIABILITY = RESULTS / "reliability"
EXTRACTORS = ROOT / "benchmarks" / "extractors"

#: Config options that may depend on the machine, and the option of ``benchmarks.run`` for each.
PATH_OPTIONS = {"data.data_dir": "--data-dir", "evaluate.weights": "--weights"}


@dataclass(frozen=True)
class Budget:
    """A budget that is the same for all techniques, whatever their number of critic updates.

    Args:
        images: the number of real images that the critic sees.
        batch_size: the batch size of one critic update.
        evaluations: the number of evaluations in a run, not counting the untrained generator's.
    """

    images: int
    batch_size: int
    evaluations: int


@dataclass(frozen=True)
class Protocol:
    """A data set, a config per technique, seeds, and the scores to compare.

    Techniques start from their papers' hyperparameters; a config states what it changes, and why.
    The last generator determines the rank, and the best one is reported as well. Samples come from
    the moving average of the generator's weights if the technique's config keeps one. Any change
    that affects a score, in the configs too, requires a new ``version``.

    Args:
        name: the name of the protocol and of the folder of its records.
        version: records of another version do not count.
        title: the title of the protocol's table.
        description: what is trained, on which data, and how it is scored.
        configs: the folder with ``<technique>.yaml``, which set the budget if ``budget`` is None.
        seeds: the seeds of a complete table.
        distance: the Frechet distance used for ranking, lower is better; None if its name depends
            on the data; the logged one is then used.
        score: the Inception-like score reported with it; higher is better.
        accelerator: the trainer's name of the accelerator.
        threads: CPU threads of each run, so that its bits do not depend on the number of cores.
        arguments: command-line arguments, which override every config.
        budget: the budget of every technique, which overrides every config.
        needs: the keys of ``PATH_OPTIONS`` that must be given, each with a description.
        show_published: whether scores that others published for CIFAR-10 are shown as well.
    """

    name: str
    version: int
    title: str
    description: str
    configs: Path
    seeds: tuple[int, ...]
    distance: str | None
    score: str | None
    accelerator: str = "auto"
    threads: int = 1
    arguments: tuple[str, ...] = ()
    budget: Budget | None = None
    needs: Mapping[str, str] = field(default_factory=dict)
    show_published: bool = False

    def config(self, technique: str) -> Path:
        """The path of a technique's config."""
        return self.configs / f"{technique}.yaml"

    def settings(self, technique: str) -> dict[str, Any]:
        """The config's settings of the model, the data and the trainer, without the classes."""
        config = yaml.safe_load(self.config(technique).read_text())
        return {
            name: part.get("init_args", {}) if "class_path" in part else part
            for name, part in config.items()
            if isinstance(part, dict)
        }

    def command_line(self, technique: str) -> list[str]:
        """The arguments of a run's command line in addition to the config."""
        arguments = list(self.arguments)
        if self.budget is not None:
            updates = self.updates(technique)
            arguments += [
                f"--data.batch_size={self.budget.batch_size}",
                f"--trainer.max_steps={updates}",
                f"--trainer.val_check_interval={updates // self.budget.evaluations}",
            ]
            model = self.settings(technique).get("model", {})
            if "decay_steps" in model:
                arguments.append(f"--model.decay_steps={updates}")
            if "long_n_critic" in model:
                # Long phases would see more images than the budget.
                arguments.append("--model.long_n_critic=0")
        return arguments

    def updates(self, technique: str) -> int:
        """Generator updates in a complete run."""
        settings = self.settings(technique)
        if self.budget is None:
            default = inspect.signature(Trainer).parameters["max_steps"].default
            return int(settings.get("trainer", {}).get("max_steps", default))
        default = inspect.signature(TECHNIQUES[technique]).parameters["n_critic"].default
        n_critic = int(settings.get("model", {}).get("n_critic", default))
        evaluations = self.budget.evaluations
        updates = self.budget.images // (self.budget.batch_size * n_critic)
        return updates // evaluations * evaluations

    @property
    def techniques(self) -> tuple[str, ...]:
        """The techniques that have a config, in the order of ``TECHNIQUES``."""
        return tuple(name for name in TECHNIQUES if self.config(name).is_file())


_CIFAR10_DATA = (
    "The 50,000 training images of CIFAR-10, 32 x 32. FID and Inception score are computed "
    "from 50,000 samples with TensorFlow's Inception weights, against the training images. "
)
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


def _cpu_protocol(
    name: str,
    title: str,
    data: str,
    configs: str,
    extractor: str,
    arguments: tuple[str, ...] = (),
    needs: Mapping[str, str] | None = None,
) -> Protocol:
    """One small network and budget for all; ``extractor`` is the extractor's full name."""
    weights = EXTRACTORS.relative_to(ROOT) / f"{extractor.rpartition('_')[0]}.pt"
    return Protocol(
        name=name,
        version=2,
        title=title,
        description=f"{data} {_CPU_TERMS}",
        configs=ROOT / "configs" / configs,
        seeds=(0, 1, 2),
        distance=f"fd10k_{extractor}",
        score=f"is10k_{extractor}",
        accelerator="cpu",
        arguments=(
            *arguments,
            *("--model.network=dcgan", "--model.critic_norm=none"),
            *("--model.generator_width=16", "--model.critic_width=16"),
            *("--evaluate.extractor=classifier", f"--evaluate.weights={weights}"),
            "--evaluate.num_samples=10000",
        ),
        budget=Budget(images=192_000, batch_size=32, evaluations=6),
        needs=needs or {},
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
                "the Inception score on its ten classes, at most 10."
            ),
            configs=ROOT / "configs" / "digits",
            seeds=(0, 1, 2),
            distance="fd1797_digits_cnn",
            score="is1797_digits_cnn",
            accelerator="cpu",
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
        ),
        _cpu_protocol(
            name="fashion-mnist-cpu",
            title="Fashion-MNIST, 28 x 28, on a CPU",
            data="The 60,000 training images of Fashion-MNIST.",
            configs="fashion_mnist",
            extractor="fashion_mnist_0495fd30",
        ),
        Protocol(
            name="cifar10-paper",
            version=2,
            title="CIFAR-10, as published",
            description=_CIFAR10_DATA
            + "Each technique has its paper's networks, batch size and rates, and 100,000 "
            "generator updates.",
            configs=ROOT / "configs" / "cifar10",
            seeds=(0, 1, 2),
            distance="fid50k_train",
            score="is50k",
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
            show_published=True,
            arguments=("--model.network=resnet", "--model.critic_norm=none"),
            budget=Budget(images=16_000_000, batch_size=64, evaluations=20),
        ),
        _cpu_protocol(
            name="cifar10-jpeg-cpu",
            title="CIFAR-10 (JPEG copy), 32 x 32, on a CPU",
            data="The 50,000 training images of a copy of CIFAR-10 in JPEG files, whose coding is "
            "lossy: no score of it is one of CIFAR-10.",
            configs="cifar10",
            extractor="cifar10_jpeg_5aadd586",
            arguments=("--data=ImageFolder", "--data.size=32"),
            needs={"data.data_dir": "the folder with train/<class>/*.jpg and test/<class>/*.jpg"},
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
    )
}
