"""What a resumed fit changes: it may have other hyperparameters than the one before it.

The loop reads most of them from the model. What optimisers and schedules hold comes from the
checkpoint, and is replaced here. A few would make the rest of the run another experiment, and are
refused.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from gan_lightning.training.checkpoints import NETWORK_ARGUMENTS, as_tuple
from gan_lightning.training.seeds import global_seed
from gan_lightning.utils.errors import WrongFileError

#: The key of a checkpoint under which ``describe_fit`` is saved.
FIT = "fit"
#: What decides which samples an update gets. The shapes of networks are compared elsewhere.
FIXED = ("n_critic", "data.batch_size", "data.train_samples")
#: What changes no result: how something is computed, and where samples are.
WITHOUT_EFFECT = (
    "compile",
    "cuda_graph",
    "channels_last",
    "data.path",
    "data.placement",
    "data.predict_samples",
    "data.strict",
)
#: What no optimiser and no schedule holds, whatever the technique.
IN_NO_OPTIMIZER = (
    *NETWORK_ARGUMENTS,
    "relativistic",
    "top_k",
    "generator_batch",
    "dequantize",
    "ema_start",
)
#: Hyperparameters of which None means a number that the network's family chooses.
CHOSEN = ("generator_width", "critic_width")
#: By name: what the checkpoint has, and what the model or the data has.
Changes = dict[str, tuple[Any, Any]]
#: For each optimiser, and each of its groups, the options that it was made with.
Options = list[list[dict[str, Any]]]


def describe_fit(trainer: pl.Trainer, optimizers: Options) -> dict[str, Any]:
    """What checkpoints say of a fit that starts, beside the model's hyperparameters."""
    return {
        "optimizers": optimizers,
        "data": data_options(trainer.datamodule),  # type: ignore[attr-defined]
        "devices": trainer.world_size,
        "seed": global_seed(),
    }


def data_options(data: object) -> dict[str, Any]:
    """The class and the plain options of a data module."""
    if not isinstance(data, pl.LightningDataModule):
        return {}
    names = ["batch_size"]
    if is_dataclass(data):
        names = [each.name for each in fields(data) if each.init and "Path" not in str(each.type)]
    options = {name: getattr(data, name) for name in names if hasattr(data, name)}
    return {"class": type(data).__name__} | {n: x for n, x in options.items() if _is_plain(x)}


def changes(
    checkpoint: Mapping[str, Any], model: pl.LightningModule, data: object, devices: int
) -> Changes:
    """The hyperparameters, and options of the data, that differ from the checkpoint's.

    A name that only one of them has, as one of another version may, is no difference, and nor is
    an option without effect on results.
    """
    fit, ours = checkpoint.get(FIT, {}), data_options(data)
    theirs = fit.get("data") if isinstance(fit.get("data"), dict) else {}
    found = _differing(checkpoint.get("hyper_parameters", {}), model.hparams)
    found |= {f"data.{name}": pair for name, pair in _differing(theirs, ours).items()}
    match found.get("data.batch_size"), fit.get("devices"):
        case (int(there), int(here)), int(before) if there * before == here * devices:
            del found["data.batch_size"]  # divided among another number of devices
    return {name: pair for name, pair in found.items() if name not in WITHOUT_EFFECT}


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> Changes:
    found = {
        name: (as_tuple(theirs[name]), as_tuple(ours[name]))
        for name in ours
        if name in theirs and not name.startswith("_")
    }
    return {
        name: (there, here)
        for name, (there, here) in found.items()
        if _is_plain(there) and _is_plain(here) and there != here
        if not (name in CHOSEN and None in (there, here))
    }


def listed(found: Changes) -> str:
    """The changes as a message names them."""
    return ", ".join(f"{name} {here}, not {there}" for name, (there, here) in found.items())


def refuse_other_data(found: Changes) -> None:
    """Refuse changes that would give the updates other samples.

    Raises:
        WrongFileError: it names them.
    """
    if fixed := {name: found[name] for name in FIXED if name in found}:
        raise WrongFileError(
            f"a fit cannot resume with {listed(fixed)}: keep what the checkpoint has, or start a "
            "new run from its weights with init_from"
        )


def options_of(optimizers: Sequence[Optimizer]) -> Options:
    """The options of each group of each optimiser, as plain values and copies of tensors."""
    return [
        [
            {
                name: value.detach().clone() if isinstance(value, Tensor) else value
                for name, value in group.items()
                if name != "params" and (isinstance(value, Tensor) or _is_plain(value))
            }
            for group in optimizer.param_groups
        ]
        for optimizer in optimizers
    ]


def apply_changes(
    checkpoint: dict[str, Any],
    found: Changes,
    optimizers: Sequence[Optimizer],
    schedules: Sequence[LRScheduler],
) -> None:
    """Write into a checkpoint's optimisers and schedules, in place, what was made for this fit.

    An option, such as Adam's betas, is replaced where it was made with another value. Schedules are
    repeated up to the checkpoint's step. Where there is none, a rate is changed by the factor
    between the two that optimisers were made with: what has lowered it meanwhile stays.

    Raises:
        WrongFileError: the checkpoint does not say what its optimisers were made with, and they or
            the schedules may hold what has changed.
    """
    before, now = checkpoint.get(FIT, {}).get("optimizers"), options_of(optimizers)
    if before is not None and not _have_as_many_groups(before, now):
        raise WrongFileError("the checkpoint's fit had other optimizers than the model's")
    held = {name: pair for name, pair in found.items() if name not in IN_NO_OPTIMIZER}
    if before is None and held:
        raise WrongFileError(
            f"a fit cannot resume with {listed(held)}: the checkpoint is of an earlier version, "
            "which does not say what its optimizers were made with; keep what it has, or start a "
            "new run from its weights with init_from"
        )
    if before is None or (before == now and not found):
        return
    saved = [state["param_groups"] for state in checkpoint["optimizer_states"]]
    repeated = _repeat(checkpoint, schedules)
    for optimizer, theirs, old, new in zip(optimizers, saved, before, now, strict=True):
        groups = zip(theirs, old, new, optimizer.param_groups, strict=True)
        for group, was, made, current in groups:
            for name in made.keys() - {"lr", "initial_lr"}:
                if was.get(name) != made[name]:
                    group[name] = made[name]
            if any(schedule.optimizer is optimizer for schedule in repeated):
                group |= {name: current[name] for name in ("lr", "initial_lr")}
            elif "initial_lr" in group and "initial_lr" not in made:
                group["lr"] = made["lr"]  # there is no schedule any more
                del group["initial_lr"]
            elif was["lr"] != made["lr"]:
                group["lr"] = group["lr"] * made["lr"] / was["lr"] if was["lr"] else made["lr"]


def _repeat(checkpoint: dict[str, Any], schedules: Sequence[LRScheduler]) -> list[LRScheduler]:
    """Step schedules as far as the checkpoint's, which they replace in it, and return them.

    Those that follow a metric cannot be repeated, and are loaded.
    """
    saved = checkpoint["lr_schedulers"]
    repeated = [
        each
        for each in schedules
        if isinstance(each, LRScheduler) and not isinstance(each, ReduceLROnPlateau)
    ]
    updates = checkpoint["global_step"]
    states = list(saved) if len(saved) == len(schedules) else [None for _ in schedules]
    with warnings.catch_warnings():
        # They are stepped before their optimiser is.
        warnings.filterwarnings("ignore", ".*lr_scheduler.step.*")
        for i, (schedule, state) in enumerate(zip(schedules, states, strict=True)):
            if schedule in repeated:
                match state:
                    case {"last_epoch": int(steps)} if 0 <= steps <= updates:
                        pass
                    case _:
                        steps = updates
                for _ in range(steps):
                    schedule.step()
                states[i] = schedule.state_dict()
    checkpoint["lr_schedulers"] = states
    return repeated


def _have_as_many_groups(before: Any, now: Options) -> bool:  # noqa: ANN401
    """Whether a checkpoint says the options of as many groups, each with a rate."""
    if not isinstance(before, list) or len(before) != len(now):
        return False
    return all(
        isinstance(theirs, list)
        and len(theirs) == len(ours)
        and all(
            isinstance(group, dict) and isinstance(group.get("lr"), int | float | Tensor)
            for group in theirs
        )
        for theirs, ours in zip(before, now, strict=True)
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
