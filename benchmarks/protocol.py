"""Benchmark protocols: the fixed, versioned conditions under which scores are comparable."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gan_lightning.data
from benchmarks.variants import Variant
from gan_lightning import TECHNIQUES, Trainer
from gan_lightning.cli.yaml_reader import load_yaml
from gan_lightning.data import GANDataModule

ROOT = Path(__file__).parent.parent
#: Whether this is the copy inside of an installed package, and not that of a clone.
INSTALLED = not (ROOT / "gan_lightning").is_dir()
#: The records of the repository; an installed package has them without pictures.
RESULTS = ROOT / "benchmarks" / "results"
#: Where records are written and read by default; never into an installed package.
OWN_RESULTS = Path("runs", "leaderboard") if INSTALLED else RESULTS
THROUGHPUT = RESULTS / "throughput"
SENSITIVITY = RESULTS / "sensitivity"
RELIABILITY = RESULTS / "reliability"
PAPER_RUNS = RESULTS / "paper_runs.json"
SPEEDRUNS = RESULTS / "speedruns"
EXTRACTORS = ROOT / "benchmarks" / "extractors"
#: Pictures of real samples, drawn by ``benchmarks.draw_real_samples``.
REAL_SAMPLES = ROOT / "benchmarks" / "real_samples"

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
class Target:
    """A distance to reach: tables show how long runs take until theirs is below it.

    It is read off the recorded curves and changes no score, so that another target needs no new
    version of the protocol.

    Args:
        distance: the distance.
        reason: why this one, for the page: a phrase.
    """

    distance: float
    reason: str


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
            None for rows that differ in their options alone: ``arguments`` say the rest.
        seeds: the seeds of a complete table.
        distance: the Frechet distance used for ranking, lower is better; None if its name depends
            on the data; the logged one is then used.
        score: the score reported with it, such as the Inception-like one; higher is better.
        accelerator: the trainer's name of the accelerator.
        threads: CPU threads of each run, so that its bits do not depend on the number of cores.
        arguments: command-line arguments, which override every config.
        budget: the budget of every technique, which overrides every config, and every option but
            ``model.decay_steps``.
        needs: the keys of ``PATH_OPTIONS`` that must be given, each with a description.
        show_published: whether scores that others published for CIFAR-10 are shown as well.
        variants: rows beside those of the techniques.
        baseline: the key of the row that all others are compared with, if there is one.
        more_scores: other scores to record, and to show the last of.
        target: the distance whose first time is shown, if there is one; not part of the version.
        real_samples: the name of the picture of real samples in ``REAL_SAMPLES``, if there is one.

    Raises:
        ValueError: two rows have the same key or title, or there is no row ``baseline``.
    """

    name: str
    version: int
    title: str
    description: str
    configs: Path | None
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
    baseline: str | None = None
    more_scores: tuple[str, ...] = ()
    target: Target | None = None
    real_samples: str = ""

    def __post_init__(self) -> None:
        taken: dict[str, Variant] = {}
        for row in self.rows:
            for name in (row.key, row.title.casefold()):
                if taken.setdefault(name, row) != row:
                    raise ValueError(f"{self.name} has two rows {name!r}")
        if self.baseline is not None and self.baseline not in taken:
            raise ValueError(f"{self.name} has no row {self.baseline!r}")

    def config(self, technique: str) -> Path | None:
        """The path of the protocol's config of a technique; None without configs."""
        return None if self.configs is None else self.configs / f"{technique}.yaml"

    def settings(self, row: Variant) -> dict[str, Any]:
        """The settings of the model, the data and the trainer in a row's config and options.

        They are without the classes.
        """
        file = row.config or self.config(row.technique)
        settings: dict[str, Any] = {}
        for name, part in ({} if file is None else read_config(file)).items():
            if isinstance(part, dict):
                is_class = "class_path" in part or "init_args" in part
                settings[name] = dict(part.get("init_args") or {} if is_class else part)
        for option in row.options:
            path, _, value = option.partition("=")
            group, _, name = path.partition(".")
            settings.setdefault(group, {})[name] = load_yaml(value)
        return settings

    def config_arguments(self, row: Variant) -> list[str]:
        """The arguments of a run's command line that name its config."""
        if row.config is None and self.configs is not None:
            return [f"--config={self.config(row.technique)}"]
        # A custom config need not name the classes.
        model = row.model_class()
        arguments = [f"--model={model.__module__}.{model.__qualname__}"]
        if self.data is not None:
            arguments.append(f"--data={self.data}")
        return arguments if row.config is None else [*arguments, f"--config={row.config}"]

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
            path = self.config(technique)
            return None if path is None else named_class(read_config(path), "data")
        return None

    @property
    def data_class(self) -> type[GANDataModule]:
        """The class of the data: that of the arguments, or else that of the configs."""
        names = [name for name in self.arguments if name.startswith("--data=")]
        path = names[-1].removeprefix("--data=") if names else self.data or ""
        found: type[GANDataModule] = getattr(gan_lightning.data, path.rpartition(".")[2])
        return found

    @property
    def has_data_dir(self) -> bool:
        """Whether the data is in a folder that can be chosen."""
        return "data_dir" in inspect.signature(self.data_class).parameters

    @property
    def modes(self) -> int | None:
        """The number of modes that points have; None for images."""
        has_modes = hasattr(self.data_class, "centres")
        return self.data_class.classes if has_modes else None

    @property
    def techniques(self) -> tuple[str, ...]:
        """The techniques that have a config, in the order of ``TECHNIQUES``.

        Where the protocol sets the networks, without those that are nothing without their own.
        """
        configs = {name: self.config(name) for name in TECHNIQUES}
        names = [name for name, path in configs.items() if path and path.is_file()]
        if any(argument.startswith("--model.network=") for argument in self.arguments):
            names = [name for name in names if not TECHNIQUES[name].own_networks]
        return tuple(names)

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
    config = load_yaml(path.read_text()) or {}
    if not isinstance(config, dict):
        raise ValueError("a config is a mapping")
    return config


def named_class(config: Mapping[str, Any], part: str) -> str | None:
    """The class that a config names for ``model`` or ``data``; None if it names none."""
    value = config.get(part)
    name = value.get("class_path") if isinstance(value, dict) else value
    return name if isinstance(name, str) else None
