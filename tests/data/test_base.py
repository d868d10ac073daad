"""Options of data modules: annotated attributes or constructor arguments."""

import sys

import pytest
import torch

from gan_lightning.data import GANDataModule, ImageDataModule, Ring

CUSTOM = '''
import torch

from gan_lightning.data import GANDataModule, ImageDataModule


class Fields(ImageDataModule):
    """Grey noise.

    Args:
        count: how many images.
    """

    count: int = 12
    size: int = 8
    channels: int = 1
    extractor = None

    def load(self, split):
        return torch.randint(0, 256, (self.count, *self.shape), dtype=torch.uint8), None


class Constructor(GANDataModule):
    def __init__(self, scale: float, count: int = 12, **options):
        super().__init__(**options)
        self.shape, self.scale, self.count = (3,), scale, count

    def load(self, split):
        return self.scale * torch.randn(self.count, 3), None
'''


@pytest.fixture
def custom(tmp_path, monkeypatch):
    (tmp_path / "custom_data.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "custom_data", raising=False)
    import custom_data

    return custom_data


def test_annotated_attributes_are_options(custom):
    data = custom.Fields(batch_size=4, count=5)
    assert (data.batch_size, data.count, data.shape, data.flip) == (4, 5, (1, 8, 8), False)
    assert data.extractor is None
    assert len(data.load("train")[0]) == 5
    with pytest.raises(TypeError, match="unexpected keyword argument 'nothing'"):
        custom.Fields(nothing=1)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        custom.Fields(batch_size=0)


def test_a_data_module_may_define_a_constructor(custom):
    data = custom.Constructor(2.0, batch_size=3)
    assert (data.scale, data.count, data.batch_size, data.placement) == (2.0, 12, 3, "auto")
    with pytest.raises(ValueError, match="Constructor has no labels"):
        custom.Constructor(1.0, conditional=True)


@pytest.mark.parametrize(
    ("name", "option"), [("Fields", "--data.count=16"), ("Constructor", "--data.scale=3")]
)
def test_the_command_line_accepts_both_kinds_of_options(custom, name, option, fit):
    run = fit(
        *("--model=DCGAN", "--model.generator_width=4", "--model.critic_width=4"),
        *(f"--data=custom_data.{name}", option, "--data.batch_size=4", "--trainer.max_steps=2"),
    )
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2
    assert option.split(".")[1].replace("=", ": ") in (run / "config.yaml").read_text()


def test_a_default_without_an_annotation_is_rejected():
    with pytest.raises(TypeError, match=r"Wrong.batch_size is no default without an annotation"):

        class Wrong(Ring):
            batch_size = 3


def test_attributes_that_are_not_options_need_no_annotation():
    assert {GANDataModule.shape, GANDataModule.classes} == {(), 0}
    assert ImageDataModule.extractor == "inception"


# Some of the training samples.


def flat(loader):
    """The rows of a pass through a loader, sorted."""
    x = torch.cat([batch[0] for batch in loader])
    return x[x[:, 0].argsort()]


class Numbers(GANDataModule):
    """The numbers below 100, with the class of their last digit but one."""

    classes = 2
    shape = (1,)

    def load(self, split):
        x = torch.arange(100.0)
        return x[:, None], (x.long() // 50)


def test_training_on_some_samples_takes_the_same_in_every_run_and_scores_compare_with_all():
    passes = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        data = Numbers(batch_size=5, train_samples=20, conditional=True)
        data.setup("fit")
        passes.append(flat(data.train_dataloader()))
        assert torch.equal(flat(data.val_dataloader())[:, 0], torch.arange(100.0))
        for x, y in data.train_dataloader():
            assert torch.equal(y, x[:, 0].long() // 50)
    assert torch.equal(*passes)
    assert len(passes[0].unique()) == 20
    assert passes[0].max() > 80  # not the first ones
    assert data.split_of(data.val_dataloader()) == "train"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train_samples": 0}, "train_samples must be at least 1, got 0"),
        ({"train_samples": 101}, "train_samples is 101, and there are 100 samples"),
        ({"train_samples": 2}, "2 samples do not fill one batch"),
        ({"train_samples": 1, "batch_size": 1, "conditional": True}, "no training samples of the"),
    ],
)
def test_samples_that_do_not_suffice_are_told(options, said):
    with pytest.raises(ValueError, match=said):
        Numbers(**{"batch_size": 5} | options).train_dataloader()
