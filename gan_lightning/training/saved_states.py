"""Checks of what a checkpoint would load into optimisers, schedules and loops.

Lightning and torch load it as it is. Where it does not fit, a fused step writes beyond the end of a
tensor, and a state that is missing is left out without a word.
"""

import copy
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gan_lightning.utils.errors import WrongFileError

#: Options of optimisers that choose an implementation, not what it computes.
IMPLEMENTATIONS = ("fused", "foreach", "capturable")
#: What a step leaves for a parameter, by name.
State = Mapping[str, Any]


def kind_of(value: object) -> str:
    """What a value is, as messages say it; a tensor without dimensions is like a number."""
    if isinstance(value, Tensor):
        if not _is_dense(value):
            return "a tensor of another layout"
        kind = _kind_of_numbers(value.dtype)
        return f"a {kind}" if value.dim() == 0 else f"a tensor of {kind}s"
    if value is None or isinstance(value, bool):
        return "a bool"
    if isinstance(value, int | float):
        return "a float"
    if isinstance(value, list | tuple):
        return "a list"
    return "a text" if isinstance(value, str) else f"a {type(value).__name__}"


def check_tensors(theirs: Mapping[str, object], ours: Mapping[str, object]) -> None:
    """Check that weights and buffers of the same name hold the same kind of numbers.

    Raises:
        WrongFileError: bool, complex or integer values stand where there are floats, or the like.
    """
    for name, tensor in ours.items():
        if not isinstance(tensor, Tensor) or name not in theirs:
            continue
        given = theirs[name]
        if not isinstance(given, Tensor) or kind_of(given) != kind_of(tensor):
            raise WrongFileError(
                f"the checkpoint's {name} is {kind_of(given)}, not {kind_of(tensor)}"
            )


def check_progress(theirs: Mapping[str, Any], ours: Mapping[str, Any], where: str) -> None:
    """Check that all counts of a loop are there, and none is below 0.

    Raises:
        WrongFileError: it names the first that is missing or wrong.
    """
    for name, value in ours.items():
        given, here = theirs.get(name), f"{where}.{name}"
        if isinstance(value, Mapping) and isinstance(given, Mapping):
            check_progress(given, value, here)
        elif given is None or type(given) is not type(value) or given < 0:
            raise WrongFileError(
                f"the checkpoint's {here} is {'missing' if given is None else repr(given)}: a fit "
                "cannot resume from it"
            )


def check_options(saved: Sequence[Any], optimizers: Sequence[Optimizer]) -> None:
    """Check that saved states are of as many optimisers, with such options, as a model has.

    Options that an older torch did not save are added.

    Raises:
        WrongFileError: it names the first that does not fit.
    """
    if len(saved) != len(optimizers):
        raise WrongFileError(
            f"the checkpoint holds the states of {len(saved)} optimizers, not {len(optimizers)}"
        )
    for i, (state, optimizer) in enumerate(zip(saved, optimizers, strict=True)):
        groups = state.get("param_groups") if isinstance(state, dict) else None
        sizes = [len(group["params"]) for group in optimizer.param_groups]
        if not (
            isinstance(groups, list)
            and all(isinstance(g, dict) and isinstance(g.get("params"), list) for g in groups)
            and [len(group["params"]) for group in groups] == sizes
            and [n for group in groups for n in group["params"]] == list(range(sum(sizes)))
        ):
            raise WrongFileError(
                f"the checkpoint's optimizer_states[{i}] are of other parameters than the model's"
            )
        for theirs, ours in zip(groups, optimizer.param_groups, strict=True):
            for name in ours.keys() - {"params"}:
                given = theirs.setdefault(name, ours[name])
                if not _are_of_one_kind(given, ours[name]) or (
                    name == "lr" and not 0 <= given < math.inf
                ):
                    raise WrongFileError(
                        f"the checkpoint's optimizer_states[{i}] have {name} {given!r}, which is "
                        f"not {kind_of(ours[name])}{' of 0 or above' * (name == 'lr')}"
                    )


def check_optimizers(saved: Sequence[dict[str, Any]], optimizers: Sequence[Optimizer]) -> None:
    """Check that saved states, whose options ``check_options`` has checked, fit the parameters.

    Raises:
        WrongFileError: it names the first state that does not fit.
    """
    for i, (state, optimizer) in enumerate(zip(saved, optimizers, strict=True)):
        where = f"the checkpoint's optimizer_states[{i}]"
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        expected = expected_states(optimizer, state["param_groups"])
        states = state.get("state")
        if not isinstance(states, dict) or (not states and any(expected)):
            raise WrongFileError(f"{where} hold no state: a fit cannot resume from it")
        for number, values in states.items():
            if number not in range(len(parameters)) or not isinstance(values, dict):
                raise WrongFileError(f"{where} are of other parameters than the model's")
            shape = parameters[number].shape
            known = expected[number] or {n: None for n in values}
            for name, value in known.items():
                if not _fits(given := values.get(name), value, shape):
                    raise WrongFileError(
                        f"{where} have {name} {_describe(given)} for parameter {number}, whose "
                        f"shape is {tuple(shape)}"
                    )


def expected_states(optimizer: Optimizer, options: Sequence[Mapping[str, Any]]) -> list[State]:
    """What a first step with the ``options`` of each group leaves for each parameter.

    A copy of the optimiser takes the step on tensors without storage. Nothing for an optimiser
    that cannot.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if optimizer.state:
        return [optimizer.state.get(parameter, {}) for parameter in parameters]
    bare = copy.copy(optimizer)  # without hooks, and without what schedules add
    bare.state = defaultdict(dict)
    bare.param_groups = [
        {
            **group,
            **given,
            "params": [_without_storage(parameter) for parameter in group["params"]],
            "lr": float(given["lr"]),
            **{name: False for name in IMPLEMENTATIONS if name in group},
        }
        for group, given in zip(optimizer.param_groups, options, strict=True)
    ]
    try:
        type(optimizer).step(bare)
    except Exception:
        # It reads values, needs a closure, or has attributes that are not copied.
        return [{} for _ in parameters]
    return [bare.state.get(p, {}) for group in bare.param_groups for p in group["params"]]


def check_schedules(saved: Sequence[Any], schedules: Sequence[LRScheduler]) -> None:
    """Check that saved states fit schedules.

    Raises:
        WrongFileError: it names the first value that does not fit.
    """
    if len(saved) != len(schedules):
        raise WrongFileError(
            f"the checkpoint holds the states of {len(saved)} learning rate schedules, "
            f"not {len(schedules)}"
        )
    for i, (state, schedule) in enumerate(zip(saved, schedules, strict=True)):
        where = f"lr_schedulers[{i}]"
        if not isinstance(state, dict):
            raise WrongFileError(f"the checkpoint's {where} is not the state of a schedule")
        for name, value in schedule.state_dict().items():
            if name not in state and name.startswith("_"):
                continue  # a private name of another version of torch
            given = state.get(name)
            if not _are_of_one_kind(given, value) or (
                name == "last_epoch" and cast("int", given) < 0
            ):
                raise WrongFileError(
                    f"the checkpoint's {where} has {name} {given!r}, which is not {kind_of(value)}"
                )


def _fits(given: object, expected: object, shape: torch.Size) -> bool:
    """Whether a state fits what is expected or, where that is not known, its parameter's shape."""
    if isinstance(given, Tensor) and (given.device.type == "meta" or not _is_dense(given)):
        return False
    if isinstance(expected, Tensor):
        same_shape = isinstance(given, Tensor) and given.shape == expected.shape
        return same_shape and kind_of(given) == kind_of(expected)
    if expected is not None:
        return _are_of_one_kind(given, expected)
    if not isinstance(given, Tensor) or given.dim() == 0:
        return True
    # Sums over a dimension keep it, with length 1.
    return given.dim() == len(shape) and all(
        n in (1, size) for n, size in zip(given.shape, shape, strict=True)
    )


def _are_of_one_kind(given: Any, ours: Any) -> bool:  # noqa: ANN401
    """Whether two values are of one kind and, in lists, element by element."""
    if ours is None:
        return True  # it is set later
    if isinstance(ours, list | tuple) and isinstance(given, list | tuple):
        return len(given) == len(ours) and all(map(_are_of_one_kind, given, ours))
    return kind_of(given) == kind_of(ours)


def _kind_of_numbers(dtype: torch.dtype) -> str:
    if dtype == torch.bool:
        return "bool"
    if dtype.is_floating_point:
        return "float"
    return "complex number" if dtype.is_complex else "whole number"


def _is_dense(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_quantized


def _describe(value: object) -> str:
    if isinstance(value, Tensor):
        return f"of {str(value.dtype).removeprefix('torch.')} and shape {tuple(value.shape)}"
    return "missing" if value is None else repr(value)


def _without_storage(parameter: Tensor) -> Tensor:
    bare = torch.empty_like(parameter, device="meta").requires_grad_(parameter.requires_grad)
    if parameter.requires_grad:
        bare.grad = torch.empty_like(bare)
    return bare
