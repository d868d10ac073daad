"""Train the runs that have no record yet: ``python -m benchmarks.run --protocol digits``.

Every run is a separate process that uses the public command line, and leaves one record. A run
with a record of the protocol's version is skipped, an interrupted run resumes from its last
checkpoint, and a failed run leaves a record of its failure and does not stop the other runs.
The devices of this machine divide the runs among themselves, or, with ``--ray``, those of a Ray
cluster.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.command_line import Parser, add_results, count
from benchmarks.protocol import PATH_OPTIONS, Protocol
from benchmarks.protocols import PROTOCOLS
from benchmarks.run import cluster, pool
from benchmarks.run.grid import Grid
from benchmarks.run.lock import held_results
from benchmarks.run.plan import Options, Run, custom_row, rows_of_protocol
from benchmarks.run.process import sigterm_interrupts
from benchmarks.variants import Variant
from gan_lightning.utils.errors import ArgumentError, UserError
from gan_lightning.utils.files import user_path
from gan_lightning.utils.suggestions import no_such


def main(args: Sequence[str] | None = None, prog: str = "benchmarks.run") -> None:
    """Train the runs.

    Exits with 1 if a run did not finish, with 75 if another command uses the folder of results, and
    with 130 if interrupted.
    """
    parser = _parser(prog)
    options = parser.parse_args(args)
    protocol = PROTOCOLS[options.protocol]
    paths = {
        option: str(user_path(path).resolve())
        for option, path in (
            ("data.data_dir", options.data_dir),
            ("evaluate.weights", options.weights),
        )
        if path is not None
    }
    if options.data_dir is not None and not protocol.has_data_dir:
        parser.error(f"the data of {protocol.name} is in no folder: leave out --data-dir")
    for option in protocol.needs:
        if option not in paths:
            parser.error(f"{protocol.name} needs {PATH_OPTIONS[option]}: {protocol.needs[option]}")
    try:
        rows = _rows(protocol, options)
    except UserError as error:
        parser.error(str(error))
    runs = [Run(protocol, row, seed) for seed in options.seeds or protocol.seeds for row in rows]
    if options.devices < 1 or (options.parallel is not None and options.parallel < 1):
        parser.error("--parallel and --devices must be at least 1")
    for run in runs:
        if run.batch_size % options.devices:
            parser.error(
                f"{run.row.key}'s batch of {run.batch_size} cannot be divided among "
                f"{options.devices} devices"
            )
    cores, gpu_threads = os.cpu_count() or 1, 1
    if options.ray is None:
        gpus = [] if protocol.accelerator == "cpu" else _gpus()
        if len(gpus) > (present := torch.cuda.device_count()):
            parser.error(
                f"CUDA_VISIBLE_DEVICES names {len(gpus)} GPUs, of which {present} are present"
            )
        if not gpus and protocol.accelerator == "gpu":
            parser.error(f"{protocol.name} trains on a GPU, and there is none here")
        if not gpus and options.per_gpu > 1:
            parser.error("--per-gpu: there is no GPU here that runs could share")
        places = len(gpus) // options.devices * options.per_gpu
        parallel = options.parallel or (max(places, 1) if gpus else cores)
        if gpus and parallel > places:
            parser.error(
                f"{parallel} runs on {options.devices} device(s) each need more than the "
                f"{len(gpus)} GPU(s) available: --per-gpu lets runs share them"
            )
        # Beside a GPU, which computes all but what is left of the scores, no core needs to idle.
        gpu_threads = max(1, cores // (parallel * options.devices))
    elif options.parallel is not None or options.per_gpu > 1:
        parser.error(
            "--parallel and --per-gpu are for one machine: a Ray cluster trains what its devices "
            "allow"
        )
    machine_options = Options(
        options.results.resolve(),
        options.work.resolve(),
        options.devices,
        paths,
        options.wandb,
        options.wandb_checkpoints,
        options.per_gpu,
        gpu_threads,
    )
    for option, folder in (("--results", options.results), ("--work", options.work)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"{option}: {folder} cannot be made ({error.strerror})")
    command = shlex.join(sys.argv[1:] if args is None else args)
    try:
        with sigterm_interrupts(), held_results(machine_options.results, command) as holder:
            grid = Grid(runs, machine_options, options.retry)
            if options.ray is None:
                pool.train(grid, parallel, gpus)
            else:
                cluster.train(grid, options.ray, holder)
    except KeyboardInterrupt:
        print("interrupted: the same command resumes from the last checkpoints", flush=True)
        raise SystemExit(130) from None
    except UserError as error:
        parser.stop(error, error.exit_code)
    if not grid.finished:
        raise SystemExit(1)


def _parser(prog: str) -> Parser:
    parser = Parser(prog, __doc__)
    parser.add_argument(
        "--protocol",
        type=_protocol,
        default="digits",
        metavar="NAME",
        help=f"{', '.join(PROTOCOLS)} (default: digits)",
    )
    parser.add_argument("--techniques", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument(
        "--technique",
        metavar="NAME",
        help="train a custom row instead: a technique, or a class such as my_module.MyGAN",
    )
    parser.add_argument("--config", metavar="FILE", help="its config (default: the protocol's)")
    parser.add_argument("--name", help="its name (default: the class, the config and the options)")
    parser.add_argument(
        "--options",
        nargs="+",
        metavar="NAME=VALUE",
        help="its options, such as model.n_critic=2, which override the config",
    )
    parser.add_argument("--seeds", nargs="+", type=int, help="default: the protocol's")
    parser.add_argument(
        "--data-dir", help="the folder of the data, if the protocol does not set it"
    )
    parser.add_argument("--weights", help="the file of the extractor's weights, if it needs one")
    add_results(parser)
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("runs", "benchmark"),
        help="the folder of checkpoints and logs",
    )
    parser.add_argument(
        "--parallel",
        type=int,
        help="concurrent runs, each on its own devices (default: one per GPU, else one per core)",
    )
    parser.add_argument("--devices", type=int, default=1, help="devices that each run trains on")
    parser.add_argument(
        "--per-gpu",
        type=count,
        default=1,
        help="runs that share a GPU; their minutes do not compare with others (default: 1)",
    )
    parser.add_argument("--retry", action="store_true", help="repeat failed runs")
    parser.add_argument("--wandb", metavar="PROJECT", help="also log to Weights & Biases")
    parser.add_argument(
        "--wandb-checkpoints", action="store_true", help="store the last checkpoints there"
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="train on the Ray cluster at this address; auto: on the one that this machine is in",
    )
    return parser


def _protocol(name: str) -> str:
    """The name of a protocol."""
    if name not in PROTOCOLS:
        raise argparse.ArgumentTypeError(no_such("protocol", name, PROTOCOLS))
    return name


def _rows(protocol: Protocol, options: argparse.Namespace) -> tuple[Variant, ...]:
    """The rows to train."""
    if options.technique is None:
        if options.config or options.name or options.options:
            raise ArgumentError("--config, --name and --options need --technique")
        return rows_of_protocol(protocol, options.techniques)
    if options.techniques:
        raise ArgumentError("--technique and --techniques exclude each other")
    row = custom_row(
        protocol,
        options.results,
        options.technique,
        config=options.config,
        name=options.name,
        options=options.options or (),
        modules=Path.cwd(),
    )
    return (row,)


def _gpus() -> list[str]:
    """The names of the visible GPUs, as in CUDA_VISIBLE_DEVICES."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [str(i) for i in range(torch.cuda.device_count())]
    names = [name.strip() for name in given.split(",") if name.strip()]
    return names[: names.index("-1")] if "-1" in names else names
