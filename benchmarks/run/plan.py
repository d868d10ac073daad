"""What is to be run, and with which options of this machine."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from benchmarks.protocol import PATH_OPTIONS, Protocol, named_class, read_config
from benchmarks.records import Record, read_record
from benchmarks.variants import MAX_TITLE, Variant, class_name, plain_option
from gan_lightning import TECHNIQUES
from gan_lightning.utils.errors import ArgumentError, one_line
from gan_lightning.utils.files import user_path
from gan_lightning.utils.suggestions import no_such

#: Options of a row: of the model, the data and the trainer.
OPTION = re.compile(r"(model|data|trainer)(\.\w+)+=.*", re.DOTALL)


@dataclass(frozen=True)
class Run:
    """One run of a protocol."""

    protocol: Protocol
    row: Variant
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """The key of its record: protocol, the row's key and seed."""
        return self.protocol.name, self.row.key, self.seed

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.row.key} seed {self.seed}"

    @property
    def updates(self) -> int:
        """The number of generator updates."""
        return self.protocol.updates(self.row)

    @property
    def batch_size(self) -> int:
        """Real images per critic update, over all devices."""
        return self.protocol.batch_size(self.row)

    def is_recorded_by(self, record: Record) -> bool:
        """Whether a record in the run's place is of its protocol's version and its options."""
        return record.protocol_version == self.protocol.version and record.is_of(self.row)


@dataclass(frozen=True)
class Options:
    """The options of a command on this machine.

    Args:
        results: the folder of records.
        work: the folder of checkpoints and logs.
        devices: the number of devices that each run trains on.
        paths: command-line options with the paths of data and weights, which are not recorded.
        wandb: the W&B project; None does not log to W&B.
        wandb_checkpoints: also store the last checkpoint in W&B.
        per_gpu: the number of runs that share a GPU.
        gpu_threads: CPU threads of each process of a run on a GPU.
    """

    results: Path
    work: Path
    devices: int = 1
    paths: Mapping[str, str] = field(default_factory=dict)
    wandb: str | None = None
    wandb_checkpoints: bool = False
    per_gpu: int = 1
    gpu_threads: int = 1


def rows_of_protocol(protocol: Protocol, keys: Sequence[str] | None) -> tuple[Variant, ...]:
    """The rows with these keys or titles, in any spelling of their words; all rows for None.

    Raises:
        ArgumentError: the protocol has no such row.
    """
    rows = {row.key: row for row in protocol.rows}
    if keys is None:
        return tuple(rows.values())
    spelt = {name: row for row in rows.values() for name in _confusable_names(row)}
    found = []
    for key in keys:
        row = rows.get(key) or spelt.get(_spelt(key)) or rows.get(TECHNIQUES.find(key) or "")
        if row is None:
            raise ArgumentError(f"{protocol.name}: {no_such('technique', key, rows)}")
        found.append(row)
    return tuple(dict.fromkeys(found))


def custom_row(
    protocol: Protocol,
    results: Path,
    technique: str,
    *,
    config: str | None = None,
    name: str | None = None,
    options: Sequence[str] = (),
    modules: Path,
) -> Variant:
    """The row of a technique with a custom config and options.

    Args:
        protocol: the protocol.
        results: the folder of records.
        technique: the key in ``TECHNIQUES``, or the path of a class.
        config: the path of the config; by default the protocol's.
        name: the name of the row.
        options: command-line options that override the config.
        modules: the folder of the user's modules.

    Raises:
        ArgumentError: it cannot be trained, or its name is taken by another row.
    """
    if "." not in technique:
        technique = TECHNIQUES.find(technique) or technique
    is_class = technique not in TECHNIQUES
    if name is not None and not 0 < len(one_line(name)) <= MAX_TITLE:
        raise ArgumentError(f"--name must have 1 to {MAX_TITLE} characters")
    row = Variant(
        technique,
        _checked_options(options, protocol),
        name or "",
        None if config is None else user_path(config).resolve(),
        modules if is_class else None,
    )
    unknown = row.model_class().unknown_arguments(
        re.split(r"[.=]", option)[1] for option in row.options if option.startswith("model.")
    )
    if unknown:
        raise ArgumentError(f"{class_name(technique)} has no option {', '.join(unknown)}")
    _check_config(row, protocol)
    for other in protocol.rows:
        if _confusable_names(row) & _confusable_names(other):
            if (row.technique, row.options, row.config) == (
                *(other.technique, other.options),
                other.config,
            ):
                return other
            raise ArgumentError(
                f"{protocol.name} has another row {other.title!r}: choose another --name"
            )
    if row.key in TECHNIQUES:
        raise ArgumentError(f"{row.key} is a technique: choose another --name")
    _check_records(row, results / protocol.name / row.key)
    return row


def _confusable_names(row: Variant) -> set[str]:
    """The row's key and title, as far as readers tell names apart."""
    return {_spelt(name) for name in (row.key, row.title)}


def _spelt(name: str) -> str:
    return re.sub(r"[\s._-]+", "-", name.casefold())


def _checked_options(options: Sequence[str], protocol: Protocol) -> tuple[str, ...]:
    """Options without dashes; ArgumentError if one of them is not an option of a row."""
    found: dict[str, str] = {}
    for given in options:
        option = plain_option(given)
        name, _, value = option.partition("=")
        if not OPTION.fullmatch(option):
            raise ArgumentError(
                f"{given!r} is not an option such as model.n_critic=2, of model, data or trainer"
            )
        if name in found:
            raise ArgumentError(f"{name} is given twice")
        if name in PATH_OPTIONS:
            raise ArgumentError(f"{name} is given as {PATH_OPTIONS[name]}")
        if name.endswith(".class_path"):
            raise ArgumentError(f"{name} cannot be an option: give --technique")
        if any(f"{name}.".startswith(f"{fixed}.") for fixed in protocol.fixed_options):
            raise ArgumentError(f"{name} is the same for all rows of {protocol.name}")
        try:
            yaml.safe_load(value)
        except (yaml.YAMLError, ValueError) as error:
            raise ArgumentError(f"{given!r} has no value in YAML") from error
        found[name] = option
    return tuple(found.values())


def _check_config(row: Variant, protocol: Protocol) -> None:
    """Raise ArgumentError if the row's config or options cannot be read, or train another class."""
    path = row.config or protocol.config(row.technique)
    if row.config is None and path is not None and not path.is_file():
        raise ArgumentError(f"{protocol.name} has no config of {row.technique}: give --config")
    if path is not None and not path.is_file():
        raise ArgumentError(f"there is no config {path}")
    try:
        _check_classes(row, protocol)
        updates, batch_size = protocol.updates(row), protocol.batch_size(row)
    except ArgumentError:
        raise
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        message = " ".join(str(error).split())
        what = path or "its options"
        raise ArgumentError(f"{what} cannot be used: {message}") from error
    if updates < 1 or batch_size < 1:
        raise ArgumentError(f"{row.title} would be trained for no update")


def _check_classes(row: Variant, protocol: Protocol) -> None:
    """Raise ArgumentError if a custom config sets what is the same for all rows."""
    if row.config is None:
        return
    sections = ("model", "data", "trainer")
    if others := [name for name in read_config(row.config) if name not in sections]:
        raise ArgumentError(
            f"{row.config} sets {', '.join(map(str, others))}: only {', '.join(sections)} can "
            "differ between rows"
        )
    expected = {"model": row.technique}
    if protocol.data is not None and "data" not in protocol.fixed_options:
        expected["data"] = protocol.data
    for part, technique in expected.items():
        found = named_class(read_config(row.config), part)
        if found is not None and class_name(found) != class_name(technique):
            raise ArgumentError(f"{row.config} has the {part} {found}, not {class_name(technique)}")


def _check_records(row: Variant, folder: Path) -> None:
    """Raise ArgumentError if the row's folder has records that are not its own."""
    for path in sorted(folder.glob("seed*.json")):
        record, files = read_record(path), row.files()
        changed = [name for name in files if record.files.get(name) != files[name]]
        if record.title != row.title:
            reason = f"gives the folder of {record.title!r}"
        elif not record.is_of(row):
            reason = f"is that of {' '.join([record.technique, *record.options])}"
        elif changed or len(files) != len(record.files):
            reason = f"has records from before {', '.join(changed) or 'its files'} changed"
        else:
            continue
        raise ArgumentError(
            f"the name {row.title!r} {one_line(reason)}: choose another --name, or delete {folder}"
        )
