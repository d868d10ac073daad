"""Benchmark protocols: the fixed, versioned conditions under which scores are comparable."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.variants import Variant
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
    """A data set, rows of techniques with a config each, seeds, and the scores to compare.

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
        budget: the budget of every technique, which overrides every config, and every option but
            ``model.decay_steps``.
        needs: the keys of ``PATH_OPTIONS`` that must be given, each with a description.
        show_published: whether scores that others published for CIFAR-10 are shown as well.
        variants: rows beside those of the techniques.

    Raises:
        ValueError: two rows have the same key or title.
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
    variants: tuple[Variant, ...] = ()

    def __post_init__(self) -> None:
        taken: dict[str, Variant] = {}
        for row in self.rows:
            for name in (row.key, row.title.casefold()):
                if taken.setdefault(name, row) != row:
                    raise ValueError(f"{self.name} has two rows {name!r}")

    def config(self, technique: str) -> Path:
        """The path of the protocol's config of a technique."""
        return self.configs / f"{technique}.yaml"

    def settings(self, row: Variant) -> dict[str, Any]:
        """The settings of the model, the data and the trainer in a row's config and options.

        They are without the classes.
        """
        config = read_config(row.config or self.config(row.technique))
        settings: dict[str, Any] = {}
        for name, part in config.items():
            if isinstance(part, dict):
                is_class = "class_path" in part or "init_args" in part
                settings[name] = dict(part.get("init_args") or {} if is_class else part)
        for option in row.options:
            path, _, value = option.partition("=")
            group, _, name = path.partition(".")
            settings.setdefault(group, {})[name] = yaml.safe_load(value)
        return settings

    def config_arguments(self, row: Variant) -> list[str]:
        """The arguments of a run's command line that name its config."""
        if row.config is None:
            return [f"--config={self.config(row.technique)}"]
        # A custom config need not name the classes.
        model = row.model_class()
        classes = [f"--model={model.__module__}.{model.__qualname__}"]
        if (data := self.data) is not None:
            classes.append(f"--data={data}")
        return [*classes, f"--config={row.config}"]

    def command_line(self, row: Variant) -> list[str]:
        """The arguments of a run's command line in addition to the config."""
        arguments = [*self.arguments, *(f"--{option}" for option in row.options)]
        if self.budget is not None:
            updates = self.updates(row)
            arguments += [
                f"--data.batch_size={self.budget.batch_size}",
                f"--trainer.max_steps={updates}",
                f"--trainer.val_check_interval={updates // self.budget.evaluations}",
            ]
            own = {option.partition("=")[0] for option in row.options}
            if self._hyperparameter(row, "decay_steps") and "model.decay_steps" not in own:
                arguments.append(f"--model.decay_steps={updates}")
            if self._hyperparameter(row, "long_n_critic"):
                # Long phases would see more images than the budget.
                arguments.append("--model.long_n_critic=0")
        return arguments

    def updates(self, row: Variant) -> int:
        """Generator updates in a complete run.

        Raises:
            ValueError: the budget counts images, and the row does not tell its ``n_critic``.
        """
        if self.budget is None:
            default = inspect.signature(Trainer).parameters["max_steps"].default
            return int(self.settings(row).get("trainer", {}).get("max_steps", default))
        n_critic = self._hyperparameter(row, "n_critic")
        if n_critic is None:
            raise ValueError(f"{row.title} has no n_critic: give it in the config")
        evaluations = self.budget.evaluations
        updates = self.budget.images // (self.budget.batch_size * int(n_critic))
        return updates // evaluations * evaluations

    def batch_size(self, row: Variant) -> int:
        """Real images per critic update, over all devices."""
        if self.budget is not None:
            return self.budget.batch_size
        return int(self.settings(row).get("data", {}).get("batch_size", 64))

    def _hyperparameter(self, row: Variant, name: str) -> Any:  # noqa: ANN401
        """A hyperparameter in the config and the options, or the class's default."""
        model = self.settings(row).get("model", {})
        return model[name] if name in model else row.default(name)

    @property
    def data(self) -> str | None:
        """The class of the data that the configs name; None without configs."""
        for technique in self.techniques:
            return named_class(read_config(self.config(technique)), "data")
        return None

    @property
    def techniques(self) -> tuple[str, ...]:
        """The techniques that have a config, in the order of ``TECHNIQUES``."""
        return tuple(name for name in TECHNIQUES if self.config(name).is_file())

    @property
    def rows(self) -> tuple[Variant, ...]:
        """The techniques as they are, and the variants."""
        return (*map(Variant, self.techniques), *self.variants)

    @property
    def fixed_options(self) -> Sequence[str]:
        """The options that neither a row nor its command can change."""
        given = (argument.removeprefix("--").partition("=")[0] for argument in self.arguments)
        fixed = ["trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.logger"]
        fixed += PATH_OPTIONS
        fixed += (name for name in given if not name.startswith("model."))
        if self.budget is not None:
            fixed += ["data.batch_size", "trainer.max_steps", "trainer.val_check_interval"]
            fixed.append("model.long_n_critic")
        return fixed


def read_config(path: Path) -> dict[str, Any]:
    """The content of a config.

    Raises:
        ValueError: it is not a mapping.
        YAMLError: it is not YAML.
    """
    config = yaml.safe_load(path.read_text()) or {}
    if not isinstance(config, dict):
        raise ValueError("a config is a mapping")
    return config


def named_class(config: Mapping[str, Any], part: str) -> str | None:
    """The class that a config names for ``model`` or ``data``; None if it names none."""
    value = config.get(part)
    name = value.get("class_path") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None


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
