"""The data modules: what they hold, what they say when files are missing, and their batches."""

import gzip
import hashlib
import math
import pickle
import shutil
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers import tiny
from sklearn.datasets import load_digits
from torchvision import datasets

from gan_lightning.data import CIFAR10, Digits, FashionMNIST, Grid, Ring, SwissRoll
from gan_lightning.errors import MissingFileError, TooFewSamplesError

MIXTURES = [Ring, Grid]
TOYS = [*MIXTURES, SwissRoll]
VISION = [FashionMNIST, CIFAR10]
LABELLED = [Digits, *MIXTURES, *VISION]
SPLITS = ["train", "test"]
IDX_NAMES = {"train": "train", "test": "t10k"}
CIFAR_NAMES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}


def idx(path, header):
    """The bytes of a packed IDX file after its header."""
    return torch.tensor(list(gzip.decompress(path.read_bytes())[header:]))


def listing(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*")}


# Digits


@pytest.mark.parametrize("split", SPLITS)
def test_digits_are_all_of_scikit_learns_spread_over_bytes(split):
    x, y = Digits().load(split)
    assert (x.shape, x.dtype, y.dtype) == ((1797, 1, 8, 8), torch.uint8, torch.int64)
    assert x.unique().numel() == 17
    assert (x.min(), x.max()) == (0, 255)
    digits = load_digits()
    assert torch.equal((x.squeeze(1) * (16 / 255)).round(), torch.tensor(digits.images).float())
    assert y.tolist() == digits.target.tolist()
    assert y.unique().tolist() == list(range(10))


# Toys


@pytest.mark.parametrize("data", TOYS)
def test_toys_are_points_about_the_unit_square(data):
    x, _ = data(num_samples=500).load("train")
    assert (x.shape, x.dtype) == ((500, 2), torch.float32)
    assert 0.9 < x.abs().max() < 1.2


@pytest.mark.parametrize("data", MIXTURES)
def test_a_mixtures_points_are_near_the_centres_that_their_labels_name(data):
    toy = data(num_samples=4000)
    x, y = toy.load("train")
    centres = toy.centres()
    assert centres.shape == (toy.classes, 2)
    assert torch.equal(torch.cdist(x, centres).argmin(dim=1), y)
    assert torch.allclose((x - centres[y]).std(dim=0), torch.tensor(toy.std), rtol=0.1)
    share = y.bincount(minlength=toy.classes) / len(y)
    assert torch.allclose(share, torch.tensor(1 / toy.classes), rtol=0.4)


def test_the_rings_centres_are_an_octagon():
    centres = Ring().centres()
    turned = [(math.cos(i * math.pi / 4), math.sin(i * math.pi / 4)) for i in range(8)]
    torch.testing.assert_close(centres, torch.tensor(turned))


def test_the_grids_centres_are_five_by_five():
    line = [-1, -0.5, 0, 0.5, 1]
    assert Grid().centres().tolist() == [[x, y] for x in line for y in line]


def test_the_swiss_roll_is_a_spiral():
    x, y = SwissRoll(num_samples=2000).load("train")
    assert y is None
    # make_swiss_roll's angle is its radius: 1.5 to 4.5 pi, scaled by 4.5 pi here.
    radius = x.norm(dim=1)
    assert 0.25 < radius.min() < 0.4
    turn = torch.atan2(x[:, 1], x[:, 0])
    off = torch.remainder(radius * 4.5 * math.pi - turn + math.pi, 2 * math.pi) - math.pi
    # make_swiss_roll's noise is normal, of 0.25: half of it is within 0.17.
    assert off.abs().median() == pytest.approx(0.17, rel=0.1)


@pytest.mark.parametrize("data", TOYS)
def test_toys_are_the_same_points_in_every_run(data):
    first, labels = data(num_samples=50).load("train")
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  (scikit-learn's default)
    again, same_labels = data(num_samples=50).load("train")
    assert torch.equal(first, again)
    assert labels is same_labels is None or torch.equal(labels, same_labels)


@pytest.mark.parametrize("data", TOYS)
def test_the_test_split_is_another_draw(data):
    toy = data(num_samples=50)
    assert torch.cdist(toy.load("train")[0], toy.load("test")[0]).min() > 0
    assert len(toy.load("test")[0]) == 50


def test_a_spiral_refuses_to_be_conditional():
    with pytest.raises(ValueError, match=r"SwissRoll .*conditional must be false"):
        SwissRoll(conditional=True)


# Files


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("split", SPLITS)
def test_packed_fashion_mnist_comes_out_as_written(fashion_mnist_dir, split):
    data = FashionMNIST(fashion_mnist_dir)
    data.prepare_data()
    x, y = data.load(split)
    assert (x.shape, x.dtype, y.dtype) == ((100, 1, 28, 28), torch.uint8, torch.int64)
    name = IDX_NAMES[split]
    assert torch.equal(x.flatten(), idx(fashion_mnist_dir / f"{name}-images-idx3-ubyte.gz", 16))
    assert torch.equal(y, idx(fashion_mnist_dir / f"{name}-labels-idx1-ubyte.gz", 8))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("folder", [".", "FashionMNIST/raw"])
def test_unpacked_fashion_mnist_is_the_same(fashion_mnist_dir, tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for packed in fashion_mnist_dir.iterdir():
        (tmp_path / folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    unpacked = FashionMNIST(tmp_path)
    unpacked.prepare_data()
    for split in SPLITS:
        for found, expected in zip(
            unpacked.load(split), FashionMNIST(fashion_mnist_dir).load(split), strict=True
        ):
            assert torch.equal(found, expected)


@pytest.mark.usefixtures("no_network")
def test_fashion_mnist_is_missing_where_one_file_is(fashion_mnist_dir, tmp_path):
    folder = shutil.copytree(fashion_mnist_dir, tmp_path / "three")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingFileError):
        FashionMNIST(folder).prepare_data()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("split", SPLITS)
def test_cifar10_comes_out_as_written(cifar10_dir, split):
    data = CIFAR10(cifar10_dir)
    data.prepare_data()
    x, y = data.load(split)
    names = CIFAR_NAMES[split]
    files = [cifar10_dir / "cifar-10-batches-py" / name for name in names]
    batches = [pickle.loads(file.read_bytes()) for file in files]
    assert (x.shape, x.dtype, y.dtype) == (
        (40 * len(names), 3, 32, 32),
        torch.uint8,
        torch.int64,
    )
    # A pickled row is 1024 bytes of red, of green, of blue, each row by row.
    assert np.array_equal(x.flatten(1).numpy(), np.concatenate([b["data"] for b in batches]))
    assert y.tolist() == [label for batch in batches for label in batch["labels"]]
    assert x.is_contiguous()


@pytest.mark.usefixtures("no_network")
def test_packed_cifar10_is_unpacked(cifar10_dir, tmp_path, monkeypatch):
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(cifar10_dir / "cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    data = CIFAR10(tmp_path)
    data.prepare_data()
    assert torch.equal(data.load("test")[0], CIFAR10(cifar10_dir).load("test")[0])


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("data", VISION)
def test_nothing_is_written_into_a_data_dir_that_is_complete(data, request):
    name = {FashionMNIST: "fashion_mnist_dir", CIFAR10: "cifar10_dir"}[data]
    folder = request.getfixturevalue(name)
    before = listing(folder)
    mode = folder.stat().st_mode
    folder.chmod(0o555)  # root may write all the same, hence the listing
    try:
        module = data(folder)
        module.prepare_data()
        for split in SPLITS:
            module.load(split)
    finally:
        folder.chmod(mode)
    assert listing(folder) == before


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("data", "files"),
    [
        (
            FashionMNIST,
            [
                f"{name}-{kind}-ubyte.gz"
                for name in IDX_NAMES.values()
                for kind in ("images-idx3", "labels-idx1")
            ],
        ),
        (CIFAR10, ["cifar-10-python.tar.gz", "cifar-10-batches-py"]),
    ],
)
def test_offline_the_error_says_what_to_put_where(data, files, tmp_path):
    folder = tmp_path / "nothing-here"
    with pytest.raises(MissingFileError) as error:
        data(folder).prepare_data()
    for words in (data.__name__, f"is not in {folder} ", f"into {folder}.", "--data.data_dir"):
        assert words in str(error.value)
    assert [file for file in files if file not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_data_dir_may_be_below_the_home_folder(fashion_mnist_dir, monkeypatch):
    monkeypatch.setenv("HOME", str(fashion_mnist_dir.parent))
    assert len(FashionMNIST(f"~/{fashion_mnist_dir.name}").load("train")[0]) == 100


# Batches


@pytest.mark.parametrize("data", LABELLED)
def test_conditional_hands_out_labels_and_tells_the_model_how_many_there_are(
    data, fashion_mnist_dir, cifar10_dir
):
    folder = {FashionMNIST: fashion_mnist_dir, CIFAR10: cifar10_dir}.get(data)
    place = {"data_dir": folder} if folder else {}
    with_labels = data(batch_size=16, conditional=True, **place)
    x, y = next(iter(with_labels.train_dataloader()))
    assert (len(x), y.shape, with_labels.num_classes) == (16, (16,), data.classes)
    without = data(batch_size=16, **place)
    assert next(iter(without.train_dataloader()))[1] is None
    assert without.num_classes == 0


class _Batches(pl.Callback):
    """Keeps the sizes of the batches that a trainer hands out."""

    def __init__(self):
        self.training, self.validation, self.test = [], [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.training.append(len(batch[0]))

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.validation.append(len(batch[0]))

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.test.append(len(batch[0]))


@pytest.mark.parametrize("n_critic", [1, 3])
def test_a_training_batch_feeds_every_critic_update(make_trainer, n_critic):
    batches = _Batches()
    data = Ring(num_samples=30, batch_size=4)
    trainer = make_trainer(batches, max_steps=2, num_sanity_val_steps=0, limit_val_batches=0)
    trainer.fit(tiny("wgan_gp", n_critic=n_critic), data)
    assert batches.training == [n_critic * 4] * 2


def test_validation_and_test_see_every_sample_in_order(make_trainer):
    batches = _Batches()
    data = Ring(num_samples=30, batch_size=8)
    trainer = make_trainer(batches)
    trainer.validate(tiny("wgan_gp"), data, verbose=False)
    trainer.test(tiny("wgan_gp"), data, verbose=False)
    assert batches.validation == batches.test == [8, 8, 8, 6]
    for loader, split in ((data.val_dataloader(), "train"), (data.test_dataloader(), "test")):
        assert torch.equal(torch.cat([x for x, _ in loader]), data.load(split)[0])


def test_the_order_of_training_is_the_runs_seed(make_trainer):
    def order(seed):
        data = Ring(num_samples=64, batch_size=8)
        torch.manual_seed(seed)
        data.trainer = make_trainer()
        data.setup("fit")
        return torch.cat([x for x, _ in data.train_dataloader()])

    assert torch.equal(order(3), order(3))
    assert not torch.equal(order(3), order(4))


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("predict_samples", [1, 8, 30])
def test_the_counts_to_predict_add_up_over_the_ranks(predict_samples, world_size):
    data = Ring(batch_size=4, predict_samples=predict_samples)
    counts = []
    for rank in range(world_size):
        data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
        counts.append(list(data.predict_dataloader()))
    assert all(0 < count <= 4 for share in counts for count in share)
    shares = [sum(share) for share in counts]
    assert sum(shares) == predict_samples
    assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_below_one_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {batch_size}"):
        Digits(batch_size=batch_size)


def test_a_batch_larger_than_the_data_is_refused_when_training_starts(make_trainer):
    trainer = make_trainer(max_steps=1, num_sanity_val_steps=0)
    with pytest.raises(TooFewSamplesError, match=r"30 samples .* 40 on each"):
        trainer.fit(tiny("wgan_gp", n_critic=5), Ring(num_samples=30, batch_size=8))
