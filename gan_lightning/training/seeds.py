"""The seed of a run, which a resumed fit keeps."""

import os

from pytorch_lightning.utilities import rank_zero_info

#: Where ``seed_everything`` of Lightning keeps its seed.
SEED_VARIABLE = "PL_GLOBAL_SEED"


def global_seed() -> int | None:
    """The seed that ``seed_everything`` was given last; None if it was not called."""
    seed = os.environ.get(SEED_VARIABLE, "")
    return int(seed) if seed.isdigit() else None


def keep_seed(there: object) -> None:
    """Let the seed of a checkpoint's run stand for this process, where it was given another.

    The random states and the order of the data come from the checkpoint.
    """
    here = global_seed()
    if isinstance(there, int) and there >= 0 and here is not None and there != here:
        rank_zero_info(f"the fit keeps its seed_everything {there}: {here} is not used")
        os.environ[SEED_VARIABLE] = str(there)
