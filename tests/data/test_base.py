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
