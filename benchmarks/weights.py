"""Make the generators that come with the package: ``python -m benchmarks.weights [NAME ...]``.

Each is trained as the benchmark's protocol has its row, in a process with the public command line,
and exported with its score. Finished runs in the folder of work are not repeated, and interrupted
ones are resumed. Fashion-MNIST's files are looked for in ``--data-dir``.
"""

import argparse
import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.protocol import RESULTS, ROOT, Protocol
from benchmarks.protocols import PROTOCOLS
from benchmarks.run.lock import held_run
from benchmarks.run.process import Training, sigterm_interrupts
from benchmarks.variants import Variant
from gan_lightning import load
from gan_lightning.cli.export import facts_of
from gan_lightning.model_card import Facts
from gan_lightning.pretrained import FOLDER, INDEX, Pretrained, sha256_of
from gan_lightning.training.checkpoints import read_checkpoint
from gan_lightning.utils.errors import UserError
from gan_lightning.utils.files import user_path, whole_file
from gan_lightning.utils.suggestions import no_such

LICENSE = "mit"
#: The licence of each data set.
DATA_LICENSES = {
    "Digits": "Optical Recognition of Handwritten Digits, Alpaydin & Kaynak 1998, CC BY 4.0",
    "FashionMNIST": "Fashion-MNIST, Xiao et al. 2017, copyright 2017 Zalando SE, MIT",
}


@dataclass(frozen=True)
class Weights:
    """A generator to make.

    Args:
        protocol: the name of the protocol.
        row: the key of its row.
        updates: generator updates; None for as many as the protocol has.
        options: command-line options in addition to the protocol's.
        seed: of the run.
    """

    protocol: str
    row: str
    updates: int | None = None
    options: tuple[str, ...] = ()
    seed: int = 0

    @property
    def changes(self) -> list[str]:
        """All that differs from the protocol, as options."""
        if self.updates is None:
            return list(self.options)
        interval = self.updates // 4
        budget = [f"trainer.max_steps={self.updates}", f"trainer.val_check_interval={interval}"]
        return [*self.options, *budget]

    def parts(self) -> tuple[Protocol, Variant]:
        """The protocol and the row."""
        protocol = PROTOCOLS[self.protocol]
        return protocol, {row.key: row for row in protocol.rows}[self.row]


NAMED = {
    "digits/dcgan": Weights("digits", "dcgan"),
    "digits/wgan_gp": Weights("digits", "wgan-gp-with-ttur"),
    "digits/sngan": Weights("digits", "sngan"),
    "digits/biggan": Weights("digits", "biggan-with-labels"),
    # 256,000 images, a third more than the protocol has, and its moving average.
    "fashion_mnist/dcgan": Weights(
        "fashion-mnist-cpu", "dcgan", updates=8_000, options=("model.ema_decay=0.999",)
    ),
}


def main(args: Sequence[str] | None = None) -> None:
    """Train and export; exits with 1 if a run fails, with 130 if interrupted."""
    options = _parser().parse_args(args)
    for name in options.names:
        if name not in NAMED:
            raise SystemExit(f"benchmarks.weights: {no_such('generator', name, NAMED)}")
    try:
        with sigterm_interrupts():
            for name in options.names or NAMED:
                run = train(name, NAMED[name], options.work.resolve(), options.data_dir)
                export(name, NAMED[name], run, options.output)
    except UserError as error:
        raise SystemExit(f"benchmarks.weights: {error}") from error
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        raise SystemExit(130) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.weights", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMED)}")
    parser.add_argument("--data-dir", help="the folder of Fashion-MNIST")
    parser.add_argument("--work", type=Path, default=Path("runs", "weights"))
    parser.add_argument("--output", type=Path, default=FOLDER, help="the folder of the weights")
    return parser


def command_line(name: str, weights: Weights, work: Path, data_dir: str | None) -> list[str]:
    """The arguments of the run, whose folder is ``work/<name>/version_0``."""
    protocol, row = weights.parts()
    arguments = [
        *("fit", *protocol.config_arguments(row), *protocol.command_line(row)),
        *(f"--{option}" for option in weights.changes),
        *(f"--seed_everything={weights.seed}", f"--trainer.accelerator={protocol.accelerator}"),
        *("--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={work}"),
        *(f"--trainer.logger.name={name}", "--trainer.logger.version=0"),
        "--trainer.enable_progress_bar=false",
    ]
    if data_dir is not None and protocol.has_data_dir:
        arguments.append(f"--data.data_dir={user_path(data_dir).resolve()}")
    return arguments


def train(name: str, weights: Weights, work: Path, data_dir: str | None = None) -> Path:
    """The folder of the finished run.

    Raises:
        SystemExit: the run fails.
    """
    protocol, row = weights.parts()
    run = work / name / "version_0"
    last = run / "checkpoints" / "last.ckpt"
    arguments = command_line(name, weights, work, data_dir)
    (work / name).mkdir(parents=True, exist_ok=True)
    with held_run(work / name / "run.lock", name, threading.Event(), print):
        if last.is_file():
            if read_checkpoint(last)["global_step"] == (weights.updates or protocol.updates(row)):
                return run
            arguments.append(f"--ckpt_path={last}")
        training = Training(arguments, threads=protocol.threads, gpus=[])
        code, message = training.run(lambda line: print(f"{name}: {line}", end="", flush=True))
    if code:
        raise SystemExit(f"benchmarks.weights: {name} failed with exit code {code}: {message}")
    return run


def export(name: str, weights: Weights, run: Path, output: Path = FOLDER) -> None:
    """Write the folder of a generator, and its entry in the index.

    Raises:
        UserError: the run has no scores, or a file cannot be written.
    """
    protocol, _ = weights.parts()
    model = load(run)
    logged = facts_of(run, model)
    if not logged.scores:
        raise UserError(f"{run} has no score after its last update")
    changes = f", with {' '.join(weights.changes)}" if weights.changes else ""
    facts = Facts(
        data=logged.data,
        scores=logged.scores,
        source=f"python -m benchmarks.weights {name} repeats it: protocol {protocol.name}, version "
        f"{protocol.version}, row {weights.row}, seed {weights.seed}{changes}.",
        license=LICENSE,
        data_license=DATA_LICENSES[logged.data],
    )
    folder = output / name
    model.save_pretrained(folder, facts=facts)
    record = RESULTS / protocol.name / weights.row / f"seed{weights.seed}.json"
    labels = " with labels" if model.num_classes else ""
    entry = Pretrained(
        description=f"{type(model).__name__}{labels} on {logged.data}, "
        f"{' x '.join(map(str, model.shape[1:]))}: {model.updates:,} updates on a CPU",
        technique=weights.parts()[1].technique,
        protocol=protocol.name,
        protocol_version=protocol.version,
        row=weights.row,
        seed=weights.seed,
        options=weights.changes,
        record="" if weights.changes else record.relative_to(ROOT).as_posix(),
        scores=dict(logged.scores),
        images=model.images,
        updates=model.updates,
        data_license=facts.data_license,
        license=LICENSE,
        sha256=dict(sha256_of(folder)),
    )
    path = output / INDEX.name
    index = json.loads(path.read_text()) if path.is_file() else {}
    index[name] = asdict(entry)
    with whole_file(path, "w") as file:
        ordered = {each: index[each] for each in (*NAMED, *index) if each in index}
        file.write(json.dumps(ordered, indent=1) + "\n")
    print(f"{name}: {', '.join(f'{key} {value:.4g}' for key, value in logged.scores.items())}")


if __name__ == "__main__":
    main()
