"""Import paths of version 0.1, which work, with a warning, until version 0.3.

Names that were renamed, which only the package itself used, are gone.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

#: Where each module of version 0.1 is now.
MOVED = {
    "gan_lightning.callbacks.paths": "gan_lightning.training.paths",
    "gan_lightning.checkpoints": "gan_lightning.training.checkpoints",
    "gan_lightning.checks": "gan_lightning.utils.checks",
    "gan_lightning.cli_errors": "gan_lightning.cli.answers",
    "gan_lightning.cli_yaml": "gan_lightning.cli.yaml_reader",
    "gan_lightning.distributed": "gan_lightning.utils.ranks",
    "gan_lightning.divergence": "gan_lightning.training.divergence",
    "gan_lightning.ema": "gan_lightning.training.ema",
    "gan_lightning.errors": "gan_lightning.utils.errors",
    "gan_lightning.files": "gan_lightning.utils.files",
    "gan_lightning.hyperparameters": "gan_lightning.training.hyperparameters",
    "gan_lightning.images": "gan_lightning.utils.images",
    "gan_lightning.late": "gan_lightning.training.deferred",
    "gan_lightning.loggers": "gan_lightning.training.loggers",
    "gan_lightning.module": "gan_lightning.gan",
    "gan_lightning.requeue": "gan_lightning.training.requeue",
    "gan_lightning.score": "gan_lightning.cli.score",
    "gan_lightning.speed": "gan_lightning.training.iteration",
    "gan_lightning.sync_batch_norm": "gan_lightning.training.sync_batch_norm",
}
#: Names that are now in another module than the others of theirs.
APART = {
    "gan_lightning.module": {"load": "gan_lightning.loading"},
    "gan_lightning.checkpoints": {"rewind_to_batch_end": "gan_lightning.training.resume"},
    "gan_lightning.distributed": {
        "end_with_parent": "gan_lightning.utils.processes",
        "gather_rng_states": "gan_lightning.training.resume",
        "restore_rng_state": "gan_lightning.training.resume",
    },
}


class _Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the module of the new name for the old one."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name in MOVED else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        new = MOVED[spec.name]
        warnings.warn(
            f"{spec.name} has moved to {new}; the old name goes with version 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        moved = ModuleType(spec.name)
        vars(moved).update(
            {n: x for n, x in vars(importlib.import_module(new)).items() if n[:2] != "__"}
        )
        for attribute, place in APART.get(spec.name, {}).items():
            setattr(moved, attribute, getattr(importlib.import_module(place), attribute))
        return moved

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do."""


sys.meta_path.append(_Moved())
