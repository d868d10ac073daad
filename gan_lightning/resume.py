"""What a checkpoint says of the files of its run, which may be another's."""

import os
from typing import Any

#: In the state of ``ModelCheckpoint``: paths, and scores by path.
PATHS, BEST = ("best_model_path", "last_model_path", "kth_best_model_path"), "best_k_models"


def forget_foreign_paths(checkpoint: dict[str, Any]) -> None:
    """Have the names of other checkpoints in it say where they lead, or strike them out.

    ``ModelCheckpoint`` deletes the one that it remembers for the one before, with all that is in it
    where it is a folder. It looks whether that is below its own folder, but goes by the text:
    ``..`` leads out again, and a path with a protocol is taken for one of its own.
    """
    states = checkpoint.get("callbacks")
    for state in states.values() if isinstance(states, dict) else ():
        if not isinstance(state, dict):
            continue
        for key in PATHS:
            if key in state:
                state[key] = _plain(state[key])
        if BEST in state:
            scores = state[BEST] if isinstance(state[BEST], dict) else {}
            state[BEST] = {plain: scores[path] for path in scores if (plain := _plain(path))}


def _plain(path: object) -> str:
    """A path of this file system without ``..`` on the way; "" for anything else."""
    if not isinstance(path, str) or not path or "::" in path or "://" in path:
        return ""
    return os.path.normpath(path)
