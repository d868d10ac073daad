"""Commands that start at the same moment: each has a folder of its own."""

from pathlib import Path

import pytest
from program import TINY, rows

ARGUMENTS = (
    *("--model=DCGAN", "--data=Ring", "--data.num_samples=100", *TINY),
    *("--trainer.max_steps=2", "--trainer.log_every_n_steps=1", "--evaluate.num_samples=50"),
    "--trainer.callbacks=slow.Waits",
)
#: Between choosing a folder and making it, the other command chooses too.
SLOW = """
import os
import time
from pathlib import Path

from pytorch_lightning import Callback

MKDIR = os.mkdir


class Waits(Callback):
    pass


def slow_mkdir(path, *args, **options):
    if Path(path).name.startswith("version_") and not Path(path).exists():
        Path(f"chosen-{os.getpid()}").touch()
        deadline = time.monotonic() + 20
        while len(list(Path().glob("chosen-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    MKDIR(path, *args, **options)


os.mkdir = slow_mkdir
"""


@pytest.fixture
def both(program, tmp_path):
    """``both(*arguments)`` starts a command twice; the folders that it made."""
    (tmp_path / "slow.py").write_text(SLOW)

    def run(*arguments, **options):
        for path in tmp_path.glob("chosen-*"):
            path.unlink()
        before = set(tmp_path.glob("Ring-DCGAN/version_*"))
        for each in [program(*arguments, **options) for _ in range(2)]:
            code, output = each.ended()
            assert code == 0, output
        return sorted(set(tmp_path.glob("Ring-DCGAN/version_*")) - before)

    return run


def test_fits_that_start_together_have_a_folder_each(both, time):
    folders = both(*ARGUMENTS)
    assert [folder.name for folder in folders] == ["version_0", "version_1"]
    for folder in folders:
        logged = [row["step"] for row in rows(folder) if row["loss/critic"]]
        assert logged == ["1", "2"]
        assert (folder / "checkpoints" / "last.ckpt").is_file()


def test_fits_with_a_logger_of_lightning_have_a_folder_each(both, tmp_path, time):
    own = ("--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={tmp_path}")
    folders = both(*ARGUMENTS, *own, "--trainer.logger.name=Ring-DCGAN")
    assert len(folders) == 2
    assert all((folder / "checkpoints" / "last.ckpt").is_file() for folder in folders)


@pytest.mark.parametrize("command", ["validate", "predict"])
def test_evaluations_that_start_together_have_a_folder_each(both, fit_once, time, command):
    checkpoint = fit_once(*ARGUMENTS[:-1]) / "checkpoints" / "last.ckpt"
    result = "validate.json" if command == "validate" else "samples"
    folders = both(f"--ckpt_path={checkpoint}", "--trainer.callbacks=slow.Waits", command=command)
    assert [Path(folder, result).exists() for folder in folders] == [True, True]
