"""Runs in processes of their own."""

import pytest
from killable import Program


@pytest.fixture
def program(tmp_path):
    """``program(*arguments, root=..., devices=1, **environment)`` starts a fit on the CPU.

    Another ``command`` is taken from the checkpoint that it is given.
    """
    started = []

    def start(*arguments, root=tmp_path, devices=1, command="fit", **environment):
        root.mkdir(exist_ok=True)
        fit = (
            *(command, "--trainer.accelerator=cpu", f"--trainer.devices={devices}"),
            *("--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"),
            f"--trainer.default_root_dir={root}",
        )
        started.append(Program(root, *fit, *arguments, **environment))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.process.wait()
