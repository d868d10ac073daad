"""A run that diverges stops at once, and what it has saved before is good."""

import math

import pytest
import pytorch_lightning as pl
import torch
from helpers import IMAGE, SILENT, batches, every_kind, tiny, train
from program import checkpoints, rows, run_of
from pytorch_lightning.callbacks import ModelCheckpoint

from gan_lightning import load
from gan_lightning.training.deferred import DeferredReads
from gan_lightning.training.divergence import DivergedError


class Spoil(pl.Callback):
    """Puts a value into one weight of a network after an update."""

    def __init__(self, network, value, update=3):
        self.network, self.value, self.update = network, value, update

    @torch.no_grad()
    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == self.update:
            next(getattr(pl_module, self.network).parameters()).view(-1)[0] = self.value


def keeping(folder):
    return {
        "enable_checkpointing": True,
        "default_root_dir": folder,
        "callbacks": [ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2)],
    }


def assert_good(path):
    """It loads, and all of its weights are finite."""
    assert all(weight.isfinite().all() for weight in load(path).parameters())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("network", ["critic", "generator"])
@every_kind
def test_a_weight_that_is_not_finite_stops_the_next_update(name, network, value, tmp_path):
    arguments = keeping(tmp_path)
    arguments["callbacks"].insert(0, Spoil(network, value))
    model = tiny(name, IMAGE)
    with pytest.raises(DivergedError) as stopped:
        train(model, batches(IMAGE), 20, **arguments)
    good = tmp_path / "step=2.ckpt"
    assert str(stopped.value) == (
        f"{type(model).__name__} diverged at update 4: a loss or a weight is not finite; the last "
        f"good checkpoint is {good}"
    )
    assert [path.name for path in tmp_path.iterdir()] == [good.name]
    assert_good(good)


@pytest.mark.parametrize("which", ["critic_loss", "generator_loss"])
@every_kind
def test_a_loss_that_is_not_finite_stops_that_update(name, which, monkeypatch):
    model = tiny(name, IMAGE)
    cls, seen = type(model), []
    loss = getattr(cls, which)

    def spoilt(self, *scores):
        seen.append(self.global_step)
        # Its gradient is that of the loss: no weight is touched.
        return loss(self, *scores) + (math.inf if self.global_step == 2 else 0)

    monkeypatch.setattr(cls, which, spoilt)
    with pytest.raises(DivergedError, match=r"at update 3: .* checkpoint is none"):
        train(model, batches(IMAGE), 20)
    assert max(seen) == 2


def test_a_run_that_goes_on_counts_from_its_beginning(tmp_path):
    train(tiny("dcgan", IMAGE), batches(IMAGE), 4, **keeping(tmp_path))
    before = tmp_path / "step=4.ckpt"
    with pytest.raises(DivergedError, match=rf"at update 7: .* checkpoint is {before}"):
        train(
            tiny("dcgan", IMAGE),
            batches(IMAGE),
            20,
            ckpt_path=before,
            callbacks=[Spoil("critic", math.nan, update=6)],
        )


def later(monkeypatch, iterations):
    """Counts are read as late as those of a GPU are."""
    init = DeferredReads.__init__

    def slow(self, device):
        init(self, device)
        self.delay = iterations

    monkeypatch.setattr(DeferredReads, "__init__", slow)


def test_a_count_that_is_read_later_names_the_same_update(monkeypatch):
    later(monkeypatch, 8)
    spoil, seen = Spoil("generator", math.nan), []
    count = pl.callbacks.LambdaCallback(
        on_train_batch_start=lambda trainer, *_: seen.append(trainer.global_step)
    )
    with pytest.raises(DivergedError, match="at update 4:"):
        train(tiny("dcgan", IMAGE), batches(IMAGE), 40, callbacks=[spoil, count])
    assert max(seen) == 11  # the update after it is 4, and 8 more


def test_what_is_not_yet_read_is_never_saved(monkeypatch, tmp_path):
    later(monkeypatch, 8)
    arguments = keeping(tmp_path)
    arguments["callbacks"].insert(0, Spoil("critic", math.nan))
    with pytest.raises(DivergedError, match=r"at update 4: .*step=2.ckpt"):
        train(tiny("dcgan", IMAGE), batches(IMAGE), 40, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["step=2.ckpt"]
    assert_good(tmp_path / "step=2.ckpt")


def test_the_last_updates_are_told_of_when_a_fit_ends(monkeypatch):
    later(monkeypatch, 8)
    with pytest.raises(DivergedError, match="at update 4:"):
        train(tiny("dcgan", IMAGE), batches(IMAGE), 5, callbacks=[Spoil("critic", math.nan)])


def test_nothing_saves_what_has_diverged(tmp_path):
    arguments = keeping(tmp_path)
    arguments["callbacks"][0].save_on_exception = True
    arguments["callbacks"].insert(0, Spoil("critic", math.nan))
    model = tiny("dcgan", IMAGE)
    trainer = pl.Trainer(max_steps=20, **SILENT | arguments)
    with pytest.raises(DivergedError):
        trainer.fit(model, batches(IMAGE))
    with pytest.raises(DivergedError):
        trainer.save_checkpoint(tmp_path / "mine.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["step=2.ckpt"]


@pytest.mark.gpu
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_gpu_stops_at_the_same_update(cuda_graph):
    model = tiny("dcgan", IMAGE, cuda_graph=cuda_graph)
    with pytest.raises(DivergedError, match="at update 13:"):
        train(
            model,
            batches(IMAGE),
            60,
            callbacks=[Spoil("critic", math.nan, update=12)],
            accelerator="gpu",
            devices=1,
        )


#: On one of several ranks.
SPOIL = """
import math
import pytorch_lightning as pl
import torch

class Spoil(pl.Callback):
    @torch.no_grad()
    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step == 12 and trainer.global_rank == trainer.world_size - 1:
            next(pl_module.critic.parameters()).view(-1)[0] = math.nan
"""


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_command_line_says_so_and_ends(program, tmp_path, devices):
    (tmp_path / "spoil.py").write_text(SPOIL)
    run = program(
        *("--model=WGANGP", "--data=Digits", "--data.batch_size=16"),
        *("--model.generator_width=8", "--model.critic_width=8", "--trainer.callbacks=spoil.Spoil"),
        *("--trainer.max_steps=40", "--trainer.val_check_interval=5", "--evaluate.cache_dir=null"),
        *("--trainer.log_every_n_steps=1", "--evaluate.num_samples=50"),
        devices=devices,
    )
    code, said = run.ended(within=100)
    assert code == 3, said
    assert "Traceback" not in said
    run.assert_all_ended()
    folder = run_of(tmp_path)
    good = folder / "checkpoints" / "step=10.ckpt"
    # Once, whatever the number of ranks.
    assert [line for line in said.splitlines() if line.startswith("gan-lightning")] == [
        "gan-lightning: WGANGP diverged at update 13: a loss or a weight is not finite; the last "
        f"good checkpoint is {good}"
    ]
    assert checkpoints(tmp_path) == [10]
    assert_good(good)
    assert rows(folder)[-1]["step"] == "13"
