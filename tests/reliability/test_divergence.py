"""A run that diverges stops at once, and the checkpoints it has saved are good."""

import math

import pytest
import pytorch_lightning as pl
import torch
from helpers import IMAGE, SILENT, batches, every_kind, tiny, train
from program import checkpoints, rows, run_of
from pytorch_lightning.callbacks import ModelCheckpoint

from gan_lightning import DCGAN, load
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


def saving_checkpoints(folder):
    return {
        "enable_checkpointing": True,
        "default_root_dir": folder,
        "callbacks": [ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2)],
    }


def assert_good(path):
    """The checkpoint loads, and all of its weights are finite."""
    assert all(weight.isfinite().all() for weight in load(path).parameters())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("network", ["critic", "generator"])
@every_kind
def test_a_non_finite_weight_stops_the_next_update(name, network, value, tmp_path):
    arguments = saving_checkpoints(tmp_path)
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


@pytest.mark.parametrize("which", ["critic_objective", "generator_objective"])
@every_kind
def test_a_non_finite_loss_stops_the_same_update(name, which, monkeypatch):
    model = tiny(name, IMAGE)
    cls, seen = type(model), []
    objective = getattr(cls, which)

    def spoilt(self, *arguments):
        seen.append(self.global_step)
        loss, *others = objective(self, *arguments)
        # The gradient is unchanged, so all weights stay finite.
        return loss + (math.inf if self.global_step == 2 else 0), *others

    monkeypatch.setattr(cls, which, spoilt)
    with pytest.raises(DivergedError, match=r"at update 3: .* checkpoint is none"):
        train(model, batches(IMAGE), 20)
    assert max(seen) == 2


def test_a_resumed_run_counts_updates_from_its_beginning(tmp_path):
    train(tiny("dcgan", IMAGE), batches(IMAGE), 4, **saving_checkpoints(tmp_path))
    before = tmp_path / "step=4.ckpt"
    with pytest.raises(DivergedError, match=rf"at update 7: .* checkpoint is {before}"):
        train(
            tiny("dcgan", IMAGE),
            batches(IMAGE),
            20,
            ckpt_path=before,
            callbacks=[Spoil("critic", math.nan, update=6)],
        )


@pytest.fixture
def _late_reads(monkeypatch):
    """Counts are read late, as they are on a GPU."""
    init = DeferredReads.__init__

    def slow(self, device):
        init(self, device)
        self.every, self.delay = 8, 1

    monkeypatch.setattr(DeferredReads, "__init__", slow)


@pytest.mark.usefixtures("_late_reads")
def test_a_delayed_read_reports_the_same_update():
    spoil, seen = Spoil("generator", math.nan), []
    count = pl.callbacks.LambdaCallback(
        on_train_batch_start=lambda trainer, *_: seen.append(trainer.global_step)
    )
    with pytest.raises(DivergedError, match="at update 4:"):
        train(tiny("dcgan", IMAGE), batches(IMAGE), 40, callbacks=[spoil, count])
    # The fault of update 4 is queued after update 9, and read after 8 more, the last from 16 on.
    assert max(seen) == 16


@pytest.mark.usefixtures("_late_reads")
def test_a_checkpoint_is_only_saved_after_its_counts_are_read(tmp_path):
    arguments = saving_checkpoints(tmp_path)
    arguments["callbacks"].insert(0, Spoil("critic", math.nan))
    with pytest.raises(DivergedError, match=r"at update 4: .*step=2.ckpt"):
        train(tiny("dcgan", IMAGE), batches(IMAGE), 40, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["step=2.ckpt"]
    assert_good(tmp_path / "step=2.ckpt")


@pytest.mark.usefixtures("_late_reads")
def test_divergence_in_the_last_updates_is_reported_when_the_fit_ends():
    with pytest.raises(DivergedError, match="at update 4:"):
        train(tiny("dcgan", IMAGE), batches(IMAGE), 5, callbacks=[Spoil("critic", math.nan)])


def test_a_diverged_model_is_never_saved(tmp_path):
    arguments = saving_checkpoints(tmp_path)
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


#: Spoils a weight on the last rank only.
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
def test_the_command_line_reports_divergence_and_exits(program, tmp_path, devices):
    (tmp_path / "spoil.py").write_text(SPOIL)
    run = program(
        *("--model=WGANGP", "--data=Digits", "--data.batch_size=16"),
        *("--model.generator_width=8", "--model.critic_width=8", "--trainer.callbacks=spoil.Spoil"),
        *("--trainer.max_steps=40", "--trainer.val_check_interval=5", "--evaluate.cache_dir=null"),
        *("--trainer.log_every_n_steps=1", "--evaluate.num_samples=50"),
        devices=devices,
    )
    code, output = run.ended(within=100)
    assert code == 3, output
    assert "Traceback" not in output
    run.assert_all_ended()
    folder = run_of(tmp_path)
    good = folder / "checkpoints" / "step=10.ckpt"
    # Once, whatever the number of ranks.
    assert [line for line in output.splitlines() if line.startswith("gan-lightning")] == [
        "gan-lightning: WGANGP diverged at update 13: a loss or a weight is not finite; the last "
        f"good checkpoint is {good}"
    ]
    assert checkpoints(tmp_path) == [10]
    assert_good(good)
    assert rows(folder)[-1]["step"] == "13"


def test_a_callback_cannot_save_the_update_that_diverged(tmp_path):
    class Save(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.save_checkpoint(tmp_path / f"{trainer.global_step}.ckpt")

    class Poisoned(DCGAN):
        def generator_loss(self, fake):
            loss = super().generator_loss(fake)
            return loss * (math.nan if self.global_step == 2 else 1)

    model = Poisoned(IMAGE, generator_width=4, critic_width=4)
    with pytest.raises(DivergedError, match="at update 3:"):
        train(model, batches(IMAGE), 5, callbacks=[Save()])
    assert {path.name for path in tmp_path.iterdir()} == {"1.ckpt", "2.ckpt"}
    assert_good(tmp_path / "2.ckpt")


def test_a_step_that_skips_its_batch_has_not_diverged():
    class Skipping(DCGAN):
        def training_step(self, batch, batch_idx):
            if batch_idx % 2:
                super().training_step(batch, batch_idx)

    trainer = train(Skipping(IMAGE, generator_width=4, critic_width=4), batches(IMAGE), 3)
    assert trainer.global_step == 3


def test_a_module_with_callbacks_of_its_own_keeps_those_of_every_gan(tmp_path):
    class Own(DCGAN):
        def configure_callbacks(self):
            return [pl.callbacks.LambdaCallback()]

    model = Own(IMAGE, generator_width=4, critic_width=4)
    trainer = train(model, batches(IMAGE), 2, callbacks=[Spoil("critic", math.inf, update=5)])
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["rng_states"]
    with pytest.raises(DivergedError):
        train(model, batches(IMAGE), 9, callbacks=[Spoil("critic", math.inf, update=2)])
