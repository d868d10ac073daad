"""The order of data under each flag that shortens, repeats or makes loaders anew."""

import pytest
import pytorch_lightning as pl
import torch
from helpers import IMAGE, SILENT, differences, tiny
from pytorch_lightning.callbacks import ModelCheckpoint

from gan_lightning.data import ImageDataModule

BATCHES, UPDATES = 6, 15
#: Lightning's flags, and how many batches an epoch then has.
FLAGS = {
    "none": ({}, BATCHES),
    "limit": ({"limit_train_batches": 4}, 4),
    "share": ({"limit_train_batches": 0.5}, 3),
    "one": ({"limit_train_batches": 1}, 1),
    "overfit": ({"overfit_batches": 2}, 2),
    "reload": ({"reload_dataloaders_every_n_epochs": 1}, BATCHES),
    "reload two": ({"reload_dataloaders_every_n_epochs": 2}, BATCHES),
    "reload limit": ({"reload_dataloaders_every_n_epochs": 1, "limit_train_batches": 4}, 4),
}


class Mirrored(ImageDataModule):
    """Random images, half of which are mirrored in each epoch."""

    size: int = 8
    channels: int = 1
    extractor = None
    flip: bool = True

    def load(self, split):
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, (26, *self.shape), generator=generator).byte(), None


class Seen(pl.Callback):
    """Keeps each training batch, and writes a checkpoint after some updates."""

    def __init__(self, folder=None, after=()):
        self.batches, self.folder, self.after = [], folder, after

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches.append(batch[0].clone())
        if trainer.global_step in self.after:
            trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


def run(flags, placement, *callbacks, ckpt_path=None, max_steps=UPDATES, seed=0):
    pl.seed_everything(seed)
    model = tiny("dcgan", IMAGE)
    saves = any(isinstance(each, ModelCheckpoint) for each in callbacks)
    arguments = {**SILENT, "enable_checkpointing": saves, **flags}
    trainer = pl.Trainer(
        max_steps=max_steps, limit_val_batches=0, callbacks=list(callbacks), **arguments
    )
    data = Mirrored(batch_size=4, placement=placement)
    trainer.fit(model, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return [model.state_dict(), *(optimizer.state_dict() for optimizer in trainer.optimizers)]


@pytest.mark.parametrize("placement", ["device", "host"])
@pytest.mark.parametrize("name", FLAGS)
def test_a_resumed_fit_has_the_same_batches(name, placement, tmp_path):
    flags, each = FLAGS[name]
    # In an epoch, at its end, and after its first batch.
    after = (2, each, each + 1, 2 * each + each // 2)
    whole = Seen(tmp_path, after)
    ended = run(flags, placement, whole)
    for step in sorted(set(after)):
        rest = Seen()
        resumed = run(flags, placement, rest, ckpt_path=tmp_path / f"{step}.ckpt")
        assert differences(rest.batches, whole.batches[step:]) == [], step
        assert differences(resumed, ended) == [], step


@pytest.mark.parametrize("name", FLAGS)
def test_a_resumed_fit_keeps_its_order_of_data_in_a_process_of_another_seed(name, tmp_path):
    flags, _ = FLAGS[name]
    whole, rest = Seen(tmp_path, after=[4]), Seen()
    ended = run(flags, "device", whole)
    resumed = run(flags, "device", rest, ckpt_path=tmp_path / "4.ckpt", seed=5)
    assert differences(rest.batches, whole.batches[4:]) == []
    assert differences(resumed, ended) == []


@pytest.mark.parametrize("name", FLAGS)
def test_a_fit_that_ended_continues_with_the_next_batch(name, tmp_path):
    flags, _ = FLAGS[name]
    whole = Seen()
    ended = run(flags, "device", whole)
    for steps in (1, 5, 6, 7):
        first, rest, end = Seen(), Seen(), tmp_path / str(steps) / "end.ckpt"
        writer = ModelCheckpoint(end.parent, filename="end")
        run(flags, "device", first, writer, max_steps=steps)
        resumed = run(flags, "device", rest, ckpt_path=end)
        assert differences([*first.batches, *rest.batches], whole.batches) == [], steps
        assert differences(resumed, ended) == [], steps


def test_a_limit_leaves_each_epoch_its_own_order():
    whole, limited = Seen(), Seen()
    run({}, "device", whole)
    run({"limit_train_batches": 4}, "device", limited)
    first = [whole.batches[i] for i in (0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14)]
    assert differences(limited.batches[: len(first)], first) == []


@pytest.mark.parametrize("placement", ["device", "host"])
def test_overfitting_repeats_the_first_batches(placement):
    whole, overfit = Seen(), Seen()
    run({}, placement, whole)
    run({"overfit_batches": 2}, placement, overfit)
    assert differences(overfit.batches, (whole.batches[:2] * UPDATES)[:UPDATES]) == []


def test_loaders_that_are_made_anew_continue_with_the_next_epoch():
    whole, reloaded = Seen(), Seen()
    run({}, "device", whole)
    run({"reload_dataloaders_every_n_epochs": 1}, "device", reloaded)
    assert differences(reloaded.batches, whole.batches) == []
