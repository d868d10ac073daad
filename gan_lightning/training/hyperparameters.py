"""Hyperparameters as annotated attributes of a class."""

import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from types import FrameType
from typing import Any, ClassVar, get_origin

from pytorch_lightning.core.mixins.hparams_mixin import HyperparametersMixin
from torch import Tensor
from typing_extensions import dataclass_transform

from gan_lightning.training.lightning_internals import BUILT_BY_CLI


@dataclass_transform(eq_default=False, kw_only_default=True, field_specifiers=(field,))
class Hyperparameters(HyperparametersMixin):
    """Turns the annotated attributes of each subclass into keyword arguments of its constructor.

    They are the fields of a dataclass: a subclass inherits them, and may change a default. When
    all are set, ``__post_init__`` builds the rest; it may call ``save_arguments``. A subclass may
    have its own ``__init__`` instead; then a checkpoint holds the arguments of that. Attributes
    that ``__post_init__`` creates, buffers included, are annotated there.

    Raises:
        TypeError: a subclass annotates a tensor or an argument that an inherited ``__init__`` does
            not take, or gives a default without an annotation.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        owner = next(each for each in cls.__mro__ if "__init__" in vars(each))
        if owner is cls:
            return
        annotations = inspect.get_annotations(cls)
        added = [name for name, kind in annotations.items() if _is_field(kind)]
        for name in added:
            if annotations[name] in (Tensor, "Tensor", "torch.Tensor"):
                raise TypeError(
                    f"{cls.__name__}.{name} would be an argument: annotate tensors in __post_init__"
                )
        inherited: set[str] = {each.name for each in fields(cls)} if is_dataclass(cls) else set()
        for name in vars(cls).keys() & inherited:
            if name not in annotations:
                raise TypeError(
                    f"{cls.__name__}.{name} is no default without an annotation: write {name}: ..."
                )
        before = cls.__mro__[: cls.__mro__.index(Hyperparameters)]
        if owner in before and not _is_generated(vars(owner)["__init__"]):
            if added:
                raise TypeError(
                    f"{cls.__name__} adds {', '.join(added)} to {owner.__name__}, whose __init__ "
                    f"does not take them: give {cls.__name__} an __init__ too"
                )
            return
        dataclass(eq=False, repr=False, kw_only=True)(cls)
        cls.__init__.is_generated = True  # type: ignore[attr-defined]
        for name in added:
            if name in vars(cls) and callable(getattr(super(cls, cls), name, None)):
                delattr(cls, name)  # the default, which would hide a method

    def save_arguments(self) -> None:
        """Keep the constructor's arguments as ``hparams``, which checkpoints hold."""
        self.save_hyperparameters(ignore=[each.name for each in fields(self) if not each.init])  # type: ignore[arg-type]
        if BUILT_BY_CLI not in self.hparams:
            # Lightning knows the fields alone, in no fixed order.
            self.hparams.clear()
            self.save_hyperparameters(self._arguments())

    @classmethod
    def unknown_arguments(cls, given: Iterable[str]) -> list[str]:
        """The names that the constructor does not take, but for Lightning's own, with a ``_``.

        One that is not generated may leave out the arguments of its base.
        """
        parameters = inspect.signature(cls).parameters
        if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            return []
        known = set(parameters)
        if not _is_generated(cls.__init__):
            known |= {each.name for each in fields(cls)}  # type: ignore[arg-type]
        return [str(name) for name in given if name not in known and not str(name).startswith("_")]

    def _arguments(self) -> dict[str, Any]:
        init = type(self).__init__
        if _is_generated(init):
            return {each.name: getattr(self, each.name) for each in fields(self) if each.init}  # type: ignore[arg-type]
        frame: FrameType | None = sys._getframe()
        while frame is not None and frame.f_code is not inspect.unwrap(init).__code__:
            frame = frame.f_back
        if frame is None:
            return {}
        arguments = inspect.getargvalues(frame)
        given = {name: arguments.locals[name] for name in arguments.args[1:]}
        positional = [each.name for each in fields(self) if not each.kw_only]  # type: ignore[arg-type]
        rest = arguments.locals.get(arguments.varargs or "", ())
        given |= dict(zip((name for name in positional if name not in given), rest, strict=False))
        return given | arguments.locals.get(arguments.keywords or "", {})


def _is_field(kind: Any) -> bool:  # noqa: ANN401
    """Whether an annotation makes an argument."""
    if isinstance(kind, str):
        return not kind.startswith(("ClassVar", "typing.ClassVar"))
    return kind is not ClassVar and get_origin(kind) is not ClassVar


def _is_generated(init: Callable[..., None]) -> bool:
    return getattr(init, "is_generated", False)
