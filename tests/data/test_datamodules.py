"""The data modules: their contents, their batches, and their errors when files are missing."""

import gzip
import hashlib
import io
import math
import os
import pickle
import shutil
import tarfile
import zipfile
from inspect import isabstract
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from formats import CELEBA_ATTRIBUTES, TEST, TRAIN, encoded, picture
from helpers import tiny
from PIL import Image
from scipy.io import loadmat
from sklearn.datasets import load_digits
from torchvision import datasets

from gan_lightning import data as data_modules
from gan_lightning.data import (
    CIFAR10,
    CIFAR100,
    LSUN,
    MNIST,
    STL10,
    SVHN,
    CelebA,
    Digits,
    FashionMNIST,
    GANDataModule,
    Grid,
    HuggingFaceImages,
    ImageFolder,
    PrefetchLoader,
    Ring,
    SwissRoll,
    TensorLoader,
)
from gan_lightning.utils.errors import (
    ArgumentError,
    MissingFileError,
    MissingPackageError,
    TooFewSamplesError,
    WrongFileError,
)

huggingface = pytest.importorskip("datasets", reason="NOT TESTED: datasets is not installed")
lmdb = pytest.importorskip("lmdb", reason="NOT TESTED: lmdb is not installed")

ALL = [
    cls
    for cls in (getattr(data_modules, name) for name in data_modules.__all__)
    if issubclass(cls, GANDataModule) and not isabstract(cls)
]
MIXTURES = [Ring, Grid]
TOYS = [*MIXTURES, SwissRoll]
IMAGES = [cls for cls in ALL if cls not in TOYS]
DOWNLOADED = [MNIST, FashionMNIST, CIFAR10, CIFAR100, SVHN, STL10, CelebA]
#: The options with which each data set that has classes provides labels.
LABELLED = {cls: {} for cls in ALL if cls not in (SwissRoll, LSUN)}
LABELLED[STL10] = {"part": "train"}
LABELLED[CelebA] = {"attribute": "Smiling"}
SPLITS = ["train", "test"]
IDX_NAMES = {"train": "train", "test": "t10k"}
CIFAR_NAMES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}


@pytest.fixture
def capture_info(caplog):
    """``capture_info(text)``: the messages that contain it."""
    caplog.set_level("INFO", "pytorch_lightning.utilities.rank_zero")
    return lambda text: [each for each in caplog.messages if text in each]


@pytest.fixture
def make(data_files):
    """``make(cls, **arguments)``: the data module, with its files on disk."""
    return lambda cls, **arguments: cls(**(data_files(cls.__name__) | arguments))


def idx(path, header):
    """The bytes of a packed IDX file after its header."""
    return torch.tensor(list(gzip.decompress(path.read_bytes())[header:]))


def listing(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*")}


def pixels(image):
    """uint8 ``(C, H, W)``."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def as_decoded(content, side):
    """The square of this side in the centre of an image file, decoded without resizing."""
    image = Image.open(io.BytesIO(content))
    left, top = (round((length - side) / 2) for length in image.size)
    return pixels(image.crop((left, top, left + side, top + side)))


# Every data set


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("data", ALL)
def test_every_data_set_trains_through_the_command_line(fit, data_files, data):
    arguments = {"batch_size": 8} | data_files(data.__name__)
    if data is Digits:
        arguments["placement"] = "host"
    run = fit(
        "--model=DCGAN",
        "--model.generator_width=8",
        "--model.critic_width=8",
        f"--data={data.__name__}",
        *(f"--data.{name}={value}" for name, value in arguments.items()),
        "--trainer.max_steps=2",
        "--evaluate.extractor=none",
    )
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2


@pytest.mark.parametrize("data", IMAGES)
def test_images_have_the_requested_size_and_channels(make, data):
    module = make(data, batch_size=4, size=16, channels=1)
    module.prepare_data()
    x, y = next(iter(module.train_dataloader()))
    assert (x.shape, x.dtype, y) == ((4, 1, 16, 16), torch.float32, None)
    assert module.shape == (1, 16, 16)
    assert -1 <= x.min() < -0.1 < 0.1 < x.max() <= 1
    assert next(iter(make(data, channels=3).val_dataloader()))[0].shape[1] == 3


@pytest.mark.parametrize("data", IMAGES)
def test_about_half_of_the_training_images_are_mirrored_and_no_others(make, data):
    def loaded(**arguments):
        module = make(data, batch_size=10, **arguments)
        return [
            torch.cat([x for x, _ in loader])
            for loader in (
                module.train_dataloader(),
                module.val_dataloader(),
                module.test_dataloader(),
            )
        ]

    flipped, flipped_val, flipped_test = loaded(flip=True)
    plain, plain_val, plain_test = loaded()
    assert torch.equal(flipped_val, plain_val)
    assert torch.equal(flipped_test, plain_test)
    same = (flipped == plain).flatten(1).all(dim=1)
    mirrored = (flipped == plain.flip(-1)).flatten(1).all(dim=1)
    assert (same | mirrored).all()
    assert 0.2 < mirrored.float().mean() < 0.8


@pytest.mark.parametrize("data", LABELLED)
def test_conditional_provides_labels_and_the_number_of_classes(make, data):
    with_labels = make(data, batch_size=16, conditional=True, **LABELLED[data])
    x, y = next(iter(with_labels.train_dataloader()))
    assert (len(x), y.shape, y.dtype) == (16, (16,), torch.int64)
    assert with_labels.num_classes == with_labels.classes > y.max()
    without = make(data, batch_size=16, **LABELLED[data])
    assert next(iter(without.train_dataloader()))[1] is None
    assert without.num_classes == 0


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SwissRoll, r"SwissRoll .*conditional must be false"),
        (LSUN, r"LSUN .*conditional must be false"),
        (STL10, r"unlabeled of STL10 has no labels.*--data.part train"),
        (CelebA, r"no labels unless --data.attribute"),
    ],
)
def test_conditional_without_labels_is_rejected(make, data, message):
    with pytest.raises(ValueError, match=message):
        make(data, conditional=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"channels": 2}, "channels must be 1 or 3, got 2"),
        ({"crop": 0}, "crop must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1, got -1"),
        ({"placement": "disk"}, "no placement 'disk': choose from auto, device, host"),
    ],
)
def test_invalid_arguments_are_rejected(arguments, message):
    with pytest.raises(ValueError, match=message):
        Digits(**arguments)


def test_a_class_whose_training_images_are_unreadable_is_rejected(make):
    module = make(ImageFolder, size=8, conditional=True, batch_size=2)
    for path in (module.folder / "train" / "dogs").iterdir():
        path.write_bytes(b"no image")
    message = r"no training samples of the class dogs: add some, or set conditional to false$"
    with (
        pytest.warns(UserWarning, match="15 of 30 images cannot be read"),
        pytest.raises(WrongFileError, match=message),
    ):
        module.prepare_data()
    with pytest.raises(WrongFileError, match=message):
        module.train_dataloader()
    # It is needed neither for testing nor without labels.
    assert len(module.test_dataloader().x) == TEST
    module.conditional = False
    assert module.train_dataloader() is not None


def test_an_empty_class_folder_is_no_class(make):
    module = make(ImageFolder, size=8)
    (module.folder / "train" / "birds").mkdir()
    again = ImageFolder(module.folder, size=8, cache_dir=module.cache_dir, conditional=True)
    assert (again.num_classes, again.class_name(1)) == (2, "dogs")


def test_an_attribute_that_all_training_images_have_is_rejected(make):
    module = make(CelebA, attribute="Young", conditional=True, batch_size=2)
    with pytest.raises(WrongFileError, match="no training samples of the class not Young: "):
        module.train_dataloader()


@pytest.mark.parametrize(
    ("split", "labels", "message"),
    [
        ("train", range(9), "MNIST has no training samples of the class 9: "),
        ("train", range(3), "no training samples of the class 3 and of 6 more: "),
        ("train", range(12), "MNIST has the label 10 in its train split, .* from 0 to 9$"),
        ("test", range(12), "MNIST has the label 10 in its test split"),
        ("test", range(3), None),
    ],
)
def test_labels_of_other_classes_than_those_of_the_data_set_are_rejected(
    make, split, labels, message
):
    module = make(MNIST, conditional=True, placement="host")
    path = module.folder / f"{IDX_NAMES[split]}-labels-idx1-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:8] + bytes(i % len(labels) for i in range(100))))
    loader = getattr(module, f"{split}_dataloader")
    if message is None:
        assert loader().y.unique().tolist() == [0, 1, 2]
        return
    with pytest.raises(WrongFileError, match=message):
        loader()


# Digits


@pytest.mark.parametrize("split", SPLITS)
def test_digits_are_those_of_scikit_learn_scaled_to_bytes(split):
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
def test_toys_are_points_of_about_unit_scale(data):
    x, _ = data(num_samples=500).load("train")
    assert (x.shape, x.dtype) == ((500, 2), torch.float32)
    assert 0.9 < x.abs().max() < 1.2


@pytest.mark.parametrize("data", MIXTURES)
def test_mixture_points_lie_near_the_centres_of_their_labels(data):
    toy = data(num_samples=4000)
    x, y = toy.load("train")
    centres = toy.centres()
    assert centres.shape == (toy.classes, 2)
    assert torch.equal(torch.cdist(x, centres).argmin(dim=1), y)
    assert torch.allclose((x - centres[y]).std(dim=0), torch.tensor(toy.std), rtol=0.1)
    share = y.bincount(minlength=toy.classes) / len(y)
    assert torch.allclose(share, torch.tensor(1 / toy.classes), rtol=0.4)


def test_the_centres_of_the_ring_form_an_octagon():
    centres = Ring().centres()
    turned = [(math.cos(i * math.pi / 4), math.sin(i * math.pi / 4)) for i in range(8)]
    torch.testing.assert_close(centres, torch.tensor(turned))


def test_the_centres_of_the_grid_are_five_by_five():
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
    # make_swiss_roll's noise is normal with deviation 0.25: half of it is within 0.17.
    assert off.abs().median() == pytest.approx(0.17, rel=0.1)


@pytest.mark.parametrize("data", TOYS)
def test_toys_have_the_same_points_in_every_run(data):
    first, labels = data(num_samples=50).load("train")
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  (scikit-learn's default)
    again, same_labels = data(num_samples=50).load("train")
    assert torch.equal(first, again)
    assert labels is same_labels is None or torch.equal(labels, same_labels)


@pytest.mark.parametrize("data", TOYS)
def test_the_test_split_is_drawn_separately(data):
    toy = data(num_samples=50)
    assert torch.cdist(toy.load("train")[0], toy.load("test")[0]).min() > 0
    assert len(toy.load("test")[0]) == 50


# Files


def prepare_and_load(module, split):
    module.prepare_data()
    return module.load(split)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("data", [MNIST, FashionMNIST])
@pytest.mark.parametrize("split", SPLITS)
def test_packed_mnist_is_read_as_written(make, data, split):
    module = make(data)
    x, y = prepare_and_load(module, split)
    assert (x.shape, x.dtype, y.dtype) == ((100, 1, 28, 28), torch.uint8, torch.int64)
    name = IDX_NAMES[split]
    assert torch.equal(x.flatten(), idx(module.folder / f"{name}-images-idx3-ubyte.gz", 16))
    assert torch.equal(y, idx(module.folder / f"{name}-labels-idx1-ubyte.gz", 8))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("folder", [".", "FashionMNIST/raw"])
def test_unpacked_fashion_mnist_is_the_same(make, tmp_path, folder):
    packed = make(FashionMNIST)
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for path in packed.folder.iterdir():
        (tmp_path / folder / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    for split in SPLITS:
        pairs = zip(
            prepare_and_load(FashionMNIST(tmp_path), split), packed.load(split), strict=True
        )
        assert all(torch.equal(found, expected) for found, expected in pairs)


@pytest.mark.usefixtures("no_network")
def test_fashion_mnist_counts_as_missing_if_one_file_is(make):
    module = make(FashionMNIST)
    (module.folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingFileError):
        module.prepare_data()


@pytest.mark.parametrize("cut", ["packed", "unpacked"])
def test_a_truncated_idx_file_is_named(make, cut):
    module = make(MNIST)
    path = module.folder / "train-images-idx3-ubyte.gz"
    if cut == "packed":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes())[:5000])
    with pytest.raises(WrongFileError, match=r"train-images-idx3-ubyte\S* is not a valid IDX file"):
        module.load("train")


def test_mismatched_idx_files_are_rejected(make):
    module = make(MNIST)
    path = module.folder / "train-labels-idx1-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[4:8] = (99).to_bytes(4, "big")
    path.write_bytes(gzip.compress(bytes(content[:-1])))
    with pytest.raises(WrongFileError, match="100 images, 99 labels"):
        module.load("train")


def test_data_sets_with_equal_file_names_can_share_a_data_dir(make, tmp_path):
    for data, level in ((MNIST, 1), (FashionMNIST, 2)):
        shutil.copytree(make(data).folder, tmp_path / data.__name__ / "raw")
        path = tmp_path / data.__name__ / "raw" / "train-images-idx3-ubyte.gz"
        content = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(content[:16] + bytes([level]) * (len(content) - 16)))
    assert MNIST(tmp_path).load("train")[0].unique().tolist() == [1]
    assert FashionMNIST(tmp_path).load("train")[0].unique().tolist() == [2]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("split", SPLITS)
def test_cifar10_is_read_as_written(make, split):
    module = make(CIFAR10)
    x, y = prepare_and_load(module, split)
    names = CIFAR_NAMES[split]
    files = [module.folder / "cifar-10-batches-py" / name for name in names]
    batches = [pickle.loads(file.read_bytes()) for file in files]
    assert (x.shape, x.dtype, y.dtype) == ((40 * len(names), 3, 32, 32), torch.uint8, torch.int64)
    # A pickled row is 1024 bytes of red, of green, of blue, each row by row.
    assert np.array_equal(x.flatten(1).numpy(), np.concatenate([b["data"] for b in batches]))
    assert y.tolist() == [label for batch in batches for label in batch["labels"]]
    assert x.is_contiguous()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("split", SPLITS)
def test_cifar100_has_its_fine_labels(make, split):
    module = make(CIFAR100)
    x, y = prepare_and_load(module, split)
    batch = pickle.loads((module.folder / "cifar-100-python" / split).read_bytes())
    assert np.array_equal(x.flatten(1).numpy(), batch["data"])
    assert y.tolist() == batch["fine_labels"]
    assert module.classes == 100


@pytest.mark.usefixtures("no_network")
def test_packed_cifar10_is_unpacked(make, tmp_path, monkeypatch):
    module = make(CIFAR10)
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(module.folder / "cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(archive.read_bytes()).hexdigest())
    assert torch.equal(prepare_and_load(CIFAR10(tmp_path), "test")[0], module.load("test")[0])


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("split", SPLITS)
def test_svhn_is_read_as_written_with_label_ten_as_zero(make, split):
    module = make(SVHN)
    x, y = prepare_and_load(module, split)
    raw = loadmat(module.folder / f"{split}_32x32.mat")
    assert np.array_equal(x.numpy(), raw["X"].transpose(3, 2, 0, 1))
    assert y.tolist() == [label % 10 for label in raw["y"].squeeze().tolist()]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(
    ("part", "split", "files"),
    [
        ("unlabeled", "train", ["unlabeled"]),
        ("train", "train", ["train"]),
        ("train+unlabeled", "train", ["train", "unlabeled"]),
        ("unlabeled", "test", ["test"]),
    ],
)
def test_stl10_is_read_as_written(make, part, split, files):
    module = make(STL10, part=part, size=96)
    x, y = prepare_and_load(module, split)
    folder = module.folder / "stl10_binary"
    columns = [np.fromfile(folder / f"{file}_X.bin", np.uint8) for file in files]
    # Stored column by column.
    expected = np.concatenate(columns).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
    assert np.array_equal(x.numpy(), expected)
    if part == "train":
        assert y.tolist() == (np.fromfile(folder / "train_y.bin", np.uint8) - 1).tolist()


def test_a_truncated_stl10_file_is_named(make):
    module = make(STL10)
    path = module.folder / "stl10_binary" / "unlabeled_X.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WrongFileError, match=r"unlabeled_X.bin is incomplete"):
        module.load("train")


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        (None, MissingFileError, "train_y.bin is missing"),
        (bytes(20), WrongFileError, "train_y.bin contains labels other than the classes 1 to 10"),
    ],
)
def test_missing_or_wrong_stl10_labels_are_reported(make, labels, error, message):
    module = make(STL10, part="train")
    path = module.folder / "stl10_binary" / "train_y.bin"
    path.unlink() if labels is None else path.write_bytes(labels)
    with pytest.raises(error, match=message):
        module.load("train")


def test_stl10_without_a_label_for_each_image_is_rejected(make):
    module = make(STL10, part="train")
    (module.folder / "stl10_binary" / "train_y.bin").write_bytes(b"\1" * 7)
    with pytest.raises(WrongFileError, match="20 images and 7 labels"):
        module.load("train")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("unpacked", [False, True])
@pytest.mark.parametrize("split", SPLITS)
def test_celeba_has_the_images_of_the_partition(make, split, unpacked):
    module = make(CelebA, size=178, attribute="Smiling")
    archive = zipfile.ZipFile(module.folder / "img_align_celeba.zip")
    if unpacked:
        archive.extractall(module.folder)
        Path(archive.filename).unlink()
    x, y = prepare_and_load(module, split)
    first, count = {"train": (0, TRAIN), "test": (TRAIN + 5, TEST)}[split]
    assert len(x) == len(y) == count
    for i in range(count):
        content = archive.read(f"img_align_celeba/{first + i + 1:06}.jpg")
        assert torch.equal(x[i], as_decoded(content, 178))
        assert y[i] == ((first + i) % 3 == 0)


def test_celeba_is_cropped_at_the_centre(make):
    module = make(CelebA, size=108, crop=108)
    archive = zipfile.ZipFile(module.folder / "img_align_celeba.zip")
    content = archive.read("img_align_celeba/000001.jpg")
    assert torch.equal(module.load("train")[0][0], as_decoded(content, 108))


def test_the_error_for_an_unknown_celeba_attribute_lists_the_choices(make):
    with pytest.raises(ArgumentError, match=f"'Happy': choose from {', '.join(CELEBA_ATTRIBUTES)}"):
        make(CelebA, attribute="Happy").load("train")


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("list_eval_partition.txt", None, MissingFileError, "list_eval_partition.txt of CelebA is"),
        ("list_eval_partition.txt", "", WrongFileError, "partition.txt is not a list of images"),
        (
            "list_eval_partition.txt",
            "000099.jpg 0",
            MissingFileError,
            "1 of the 1 .* is 000099.jpg",
        ),
        (
            "list_attr_celeba.txt",
            None,
            MissingFileError,
            "list_attr_celeba.txt of CelebA",
        ),
        (
            "list_attr_celeba.txt",
            "1\nSmiling\na.jpg 1",
            WrongFileError,
            "celeba.txt has 0 values for 000001.jpg, not one for each of 1 attributes$",
        ),
        (
            "list_attr_celeba.txt",
            "1\nBald Smiling Young\n000001.jpg -1 1",  # nobody knows which one is missing
            WrongFileError,
            "celeba.txt has 2 values for 000001.jpg, not one for each of 3 attributes$",
        ),
        (
            "list_eval_partition.txt",
            "000001.jpg 2",
            WrongFileError,
            "partition.txt lists no images of the train split, which have the value 0$",
        ),
    ],
)
def test_missing_or_wrong_celeba_lists_are_reported(make, name, content, error, message):
    module = make(CelebA, attribute="Smiling")
    path = module.folder / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(error, match=message):
        module.load("train")


@pytest.mark.parametrize("split", SPLITS)
def test_lsun_is_ordered_by_key(make, split):
    module = make(LSUN, size=256)
    x, y = prepare_and_load(module, split)
    name = {"train": "train", "test": "val"}[split]
    with lmdb.open(str(module.folder / f"bedroom_{name}_lmdb"), readonly=True) as environment:
        contents = [value for _, value in environment.begin().cursor()]
    assert y is None
    assert len(x) == len(contents) == {"train": TRAIN, "test": TEST}[split]
    for image, content in zip(x, contents, strict=True):
        assert torch.equal(image, as_decoded(content, 256))


def test_any_category_of_lsun_can_be_chosen(make):
    module = make(LSUN)
    (module.folder / "bedroom_val_lmdb").rename(module.folder / "cat")
    cats = make(LSUN, category="cat", data_dir=str(module.folder))
    assert len(cats.load("train")[0]) == len(cats.load("test")[0]) == TEST
    with pytest.raises(MissingFileError, match=r"church is not in .*church_train_lmdb.zip"):
        make(LSUN, category="church").prepare_data()


@pytest.mark.parametrize(
    ("share", "message"),
    [(0.001, "is not an LMDB database"), (0.3, "is incomplete"), (0.9, "is incomplete")],
)
def test_a_truncated_lsun_database_is_named(make, share, message):
    module = make(LSUN)
    path = module.folder / "bedroom_train_lmdb" / "data.mdb"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WrongFileError, match=f"bedroom_train_lmdb {message}"):
        module.prepare_data()


def test_an_lsun_database_with_a_damaged_page_is_named(make):
    module = make(LSUN)
    path = module.folder / "bedroom_train_lmdb" / "data.mdb"
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 + 10 : page * 4096 + 12] = b"\xff\xff"  # the type of the page
    path.write_bytes(bytes(content))
    with pytest.raises(WrongFileError, match=r"bedroom_train_lmdb (cannot be read|is not)"):
        module.prepare_data()


@pytest.mark.parametrize(
    ("data", "package", "extra"),
    [(LSUN, "lmdb", "lsun"), (HuggingFaceImages, "datasets", "huggingface")],
)
def test_a_missing_optional_package_is_named(make, monkeypatch, data, package, extra):
    module = make(data)
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(MissingPackageError, match=rf"{package}: pip install .*\[{extra}\]"):
        module.prepare_data()


def test_a_changed_file_changes_the_hugging_face_fingerprint(make, data_files):
    folder = Path(data_files("ImageFolder")["data_dir"])
    source = make(HuggingFaceImages, path=str(folder), size=16).source("train")
    before = source.fingerprint()
    assert source.fingerprint() == before
    (folder / "train" / "cats" / "000.png").write_bytes(encoded(picture(20, 16, 77), "PNG"))
    assert source.fingerprint() != before


def rows_of(labels, feature):
    """A Hugging Face data set with these labels, whose images can be told apart."""
    files = [{"bytes": encoded(picture(8, 8, i), "PNG"), "path": None} for i in range(len(labels))]
    features = huggingface.Features(image=huggingface.Image(), label=feature)
    return huggingface.Dataset.from_dict({"image": files, "label": labels}, features)


LABEL_FEATURES = [huggingface.ClassLabel(names=list("abcde")), huggingface.Value("int64")]


@pytest.fixture
def with_labels(make, tmp_path):
    """``with_labels(train, test, feature)``: a data module of data sets with these labels."""

    def build(train, test, feature):
        splits = {"train": rows_of(train, feature), "test": rows_of(test, feature)}
        huggingface.DatasetDict(splits).save_to_disk(str(tmp_path / "rows"))
        path = str(tmp_path / "rows")
        return make(HuggingFaceImages, path=path, size=8, conditional=True, batch_size=2)

    return build


@pytest.mark.parametrize("feature", LABEL_FEATURES)
def test_hugging_face_classes_are_those_that_have_training_images(
    with_labels, feature, capture_info
):
    data = with_labels([4, 1, 1, 3, 4], [3, 1], feature)
    assert data.num_classes == 3
    assert data.load("train")[1].tolist() == [2, 0, 0, 1, 2]
    assert data.load("test")[1].tolist() == [1, 0]
    assert set(next(iter(data.train_dataloader()))[1].tolist()) <= {0, 1, 2}
    names = "1, 3, 4" if isinstance(feature, huggingface.Value) else "b, d, e"
    (message,) = capture_info("numbered")
    assert message.endswith(f"images of 3 classes, which are numbered from 0: {names}")


def test_consecutive_hugging_face_labels_stay_as_they_are(with_labels, capture_info):
    data = with_labels([2, 0, 1, 2], [1, 2], huggingface.ClassLabel(names=list("abc")))
    assert data.num_classes == 3
    assert data.load("train")[1].tolist() == [2, 0, 1, 2]
    assert data.load("test")[1].tolist() == [1, 2]
    assert capture_info("numbered") == []


@pytest.mark.parametrize("feature", LABEL_FEATURES)
def test_hugging_face_test_images_of_another_class_are_rejected(with_labels, feature):
    data = with_labels([0, 1, 3], [3, 2], feature)
    with pytest.raises(WrongFileError, match="has the class 2, which the training images do not"):
        data.load("test")


def test_a_hugging_face_data_set_without_images_is_rejected(make, tmp_path):
    rows = huggingface.Dataset.from_dict(
        {"image": [{"bytes": b"", "path": None}, None] * 2, "label": [0, 1, 1, 0]},
        huggingface.Features(
            image=huggingface.Image(), label=huggingface.ClassLabel(names=["a", "b", "c"])
        ),
    )
    rows.save_to_disk(str(tmp_path / "rows"))
    module = make(HuggingFaceImages, path=str(tmp_path / "rows"), conditional=True)
    assert module.num_classes == 2
    with pytest.raises(WrongFileError, match=r"none of the 4 images .* row 0 \(there is no image"):
        module.prepare_data()


@pytest.mark.usefixtures("no_network")
def test_hugging_face_images_are_those_of_the_split(make):
    module = make(HuggingFaceImages, size=16, conditional=True)
    for split, count in (("train", TRAIN), ("test", TEST)):
        x, y = prepare_and_load(module, split)
        assert len(x) == count
        assert y.tolist() == [i % 2 for i in range(count)]
        assert torch.equal(x[3], as_decoded(encoded(picture(20, 16, 3), "PNG"), 16))


def test_hugging_face_also_loads_a_folder_of_files(make, data_files):
    folder = data_files("ImageFolder")["data_dir"]
    module = make(HuggingFaceImages, path=folder, size=16, conditional=True)
    assert (len(module.load("train")[0]), module.classes) == (TRAIN, 2)
    assert len(module.load("test")[0]) == TEST


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_column": "picture"}, "no images in 'picture': .* with images are image"),
        ({"image_column": "label"}, "no images in 'label': .* with images are image"),
        (
            {"label_column": "kind", "conditional": True},
            "no column 'kind': choose from image, label",
        ),
    ],
)
def test_the_error_for_an_unknown_column_lists_the_choices(make, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        make(HuggingFaceImages, **arguments).prepare_data()


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("data", DOWNLOADED)
def test_nothing_is_written_into_a_complete_data_dir(make, data):
    module = make(data)
    folder = module.folder
    before = listing(folder)
    mode = folder.stat().st_mode
    folder.chmod(0o555)  # root can still write, hence the listing
    try:
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
        *(
            (
                data,
                [
                    f"{name}-{kind}-ubyte.gz"
                    for name in IDX_NAMES.values()
                    for kind in ("images-idx3", "labels-idx1")
                ],
            )
            for data in (MNIST, FashionMNIST)
        ),
        (CIFAR10, ["cifar-10-python.tar.gz", "cifar-10-batches-py"]),
        (CIFAR100, ["cifar-100-python.tar.gz", "folder cifar-100-python"]),
        (SVHN, ["train_32x32.mat", "test_32x32.mat"]),
        (STL10, ["stl10_binary.tar.gz", "folder stl10_binary"]),
        (
            CelebA,
            ["img_align_celeba.zip", "list_eval_partition.txt", "list_attr_celeba.txt"],
        ),
    ],
)
def test_the_offline_error_says_which_files_to_put_where(data, files, tmp_path):
    folder = tmp_path / "nothing-here"
    with pytest.raises(MissingFileError) as error:
        data(folder).prepare_data()
    for text in (data.__name__, f"is not in {folder} ", f"into {folder}", "--data.data_dir"):
        assert text in str(error.value)
    assert [file for file in files if file not in str(error.value)] == []
    assert "\n" not in str(error.value)


def test_data_dir_may_start_with_a_tilde(make, monkeypatch):
    folder = make(FashionMNIST).folder
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(FashionMNIST(f"~/{folder.name}").load("train")[0]) == 100


# Custom image folders


def test_a_folder_is_ordered_by_file_name(make):
    module = make(ImageFolder, size=16, conditional=True)
    x, y = module.load("train")
    assert y.tolist() == [0] * (TRAIN // 2) + [1] * (TRAIN // 2)
    assert torch.equal(x[1], as_decoded(encoded(picture(20, 16, 2), "PNG"), 16))
    assert len(module.load("test")[0]) == TEST
    assert module.num_classes == 2


def test_a_folder_without_splits_is_used_for_training_and_testing(make):
    module = make(ImageFolder)
    flat = make(ImageFolder, data_dir=str(module.folder / "test" / "cats"))
    assert len(flat.load("train")[0]) == len(flat.load("test")[0]) == TEST // 2


def test_splits_with_the_same_images_share_a_cache(make):
    folder = make(ImageFolder).folder / "train" / "cats"
    module = make(ImageFolder, data_dir=str(folder))
    module.load("train"), module.load("test")
    assert len([path for path in Path(module.cache_dir).iterdir() if path.is_dir()]) == 1


def test_a_folder_without_sub_folders_has_no_labels(make):
    folder = make(ImageFolder).folder / "train" / "cats"
    with pytest.raises(ValueError, match=r"no labels: 000.png in .*cats is not in a sub-folder"):
        make(ImageFolder, data_dir=str(folder), conditional=True)


def test_a_zip_archive_loads_like_its_folder(make, tmp_path):
    module = make(ImageFolder, conditional=True)
    archive = shutil.make_archive(str(tmp_path / "images"), "zip", module.folder / "train")
    packed = make(ImageFolder, data_dir=archive, conditional=True)
    for found, expected in zip(packed.load("train"), module.load("train"), strict=True):
        assert torch.equal(found, expected)


def test_transparent_images_show_the_background(make, tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    options = {"data_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache"), "size": 8}
    on_white = ImageFolder(**options).load("train")[0]
    on_blue = ImageFolder(**options, background="#0000ff")
    assert (on_white == 255).all()
    assert on_blue.load("train")[0][0, :, 0, 0].tolist() == [0, 0, 255]


def save_ramps(folder, *highest):
    """``a.png``, ``b.png``, ...: images of 16 bits, from black to these levels."""
    ramps = [np.linspace(0, high, 64).reshape(8, 8).astype(np.uint16) for high in highest]
    for name, ramp in zip("abc", ramps, strict=False):
        Image.fromarray(ramp).save(folder / f"{name}.png")
    options = {"data_dir": folder, "size": 8, "channels": 1, "cache_dir": folder / "cache"}
    return options, torch.from_numpy(np.stack([(ramp / 257).round() for ramp in ramps])).byte()


def test_images_whose_white_is_unknown_are_counted_and_refused_by_strict(tmp_path):
    options, x = save_ramps(tmp_path, 0, 4095)
    message = r"b.png \(levels from 0 to 4095, where white must be 65535: save it with 8 bits\)"
    with pytest.warns(UserWarning, match=rf"1 of 2 images cannot be read: {message}"):
        assert torch.equal(ImageFolder(**options).load("train")[0][:, 0], x[:1])
    with pytest.raises(WrongFileError, match=r"b.png cannot be read .*--data.strict is true"):
        ImageFolder(**options, strict=True).load("train")


def test_dark_images_of_a_set_whose_white_is_known_are_images(tmp_path):
    options, x = save_ramps(tmp_path, 4095, 65535, 10000)
    assert torch.equal(ImageFolder(**options, strict=True).load("train")[0][:, 0], x)


def test_an_invalid_background_is_rejected(make):
    with pytest.raises(ValueError, match="no colour 'blu': use a name or #rrggbb"):
        make(ImageFolder, background="blu")


# Placement


@pytest.mark.parametrize(
    ("placement", "memory", "kind"),
    [
        ("auto", 4 * 1797 * 64, TensorLoader),
        ("auto", 2 * 1797 * 64 - 2, PrefetchLoader),
        ("device", 0, TensorLoader),
        ("host", 2**40, PrefetchLoader),
    ],
)
def test_samples_stay_on_the_device_up_to_half_of_its_memory(monkeypatch, placement, memory, kind):
    monkeypatch.setattr("gan_lightning.data.base.available_memory", lambda device: memory)
    data = Digits(placement=placement)
    assert type(data.train_dataloader()) is type(data.val_dataloader()) is kind


@pytest.mark.parametrize("data", [Ring, Digits])
def test_training_does_not_depend_on_the_placement(make_trainer, data):
    def weights(placement):
        torch.manual_seed(0)
        module = data(batch_size=8, placement=placement, conditional=True)
        model = tiny("dcgan", module.shape, module.num_classes)
        make_trainer(max_steps=5, limit_val_batches=0).fit(model, module)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights("device"), weights("host"))


# Batches


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("data", [CIFAR10, ImageFolder])
def test_predicting_needs_no_data(make_trainer, tmp_path, data):
    module = data(str(tmp_path / "nothing"), size=8, predict_samples=3)
    (x,) = make_trainer().predict(tiny("dcgan", (3, 8, 8)), module)
    assert x.shape == (3, 3, 8, 8)


@pytest.mark.parametrize(("command", "count"), [("validate", TRAIN), ("test", TEST)])
def test_only_the_split_in_use_is_decoded(make, make_trainer, command, count):
    module = make(ImageFolder, size=8)
    getattr(make_trainer(), command)(tiny("dcgan", (3, 8, 8)), module, verbose=False)
    (cache,) = (path for path in Path(module.cache_dir).iterdir() if path.is_dir())
    assert (cache / "images.u8").stat().st_size == count * 3 * 8 * 8


class _Batches(pl.Callback):
    """Records the sizes of a trainer's batches."""

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
    data = Ring(num_samples=1030, batch_size=8)
    trainer = make_trainer(batches)
    trainer.validate(tiny("wgan_gp"), data, verbose=False)
    trainer.test(tiny("wgan_gp"), data, verbose=False)
    assert batches.validation == batches.test == [512, 512, 6]
    for loader, split in ((data.val_dataloader(), "train"), (data.test_dataloader(), "test")):
        assert torch.equal(torch.cat([x for x, _ in loader]), data.load(split)[0])


def test_a_fingerprint_depends_on_the_images_and_their_transform(data_files):
    files = data_files("ImageFolder")

    def fingerprint(split="train", **options):
        return ImageFolder(**files | options).fingerprint(split)

    assert fingerprint() == fingerprint(flip=True) == fingerprint(conditional=True)
    others = {fingerprint("test"), fingerprint(size=16), fingerprint(channels=1)}
    others |= {fingerprint(crop=5), fingerprint(background="black")}
    assert len(others | {fingerprint()}) == 6


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        (ImageFolder, "train/cats/000.png"),
        (STL10, "**/unlabeled_X.bin"),
        (LSUN, "*_train_lmdb/data.mdb"),
        (HuggingFaceImages, "train/*.arrow"),
    ],
)
def test_a_file_replaced_with_its_time_kept_changes_the_fingerprint(data_files, data, pattern):
    arguments = data_files(data.__name__)
    before = data(**arguments).fingerprint("train")
    assert data(**arguments).fingerprint("train") == before
    (path,) = Path(arguments.get("data_dir") or arguments["path"]).glob(pattern)
    content, time = path.read_bytes(), path.stat().st_mtime_ns
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(time, time))
    assert data(**arguments).fingerprint("train") != before


def test_split_of_names_the_split_of_a_loader(make_trainer):
    data = Ring(num_samples=30)
    data.setup("fit")
    assert data.split_of(data.val_dataloader()) == "train"
    assert data.split_of(data.test_dataloader()) == "test"
    assert data.split_of(Ring(num_samples=30).val_dataloader()) is None
    assert data.split_of(None) is None


def test_the_training_order_depends_on_the_seed(make_trainer):
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
def test_predict_counts_add_up_over_the_ranks(predict_samples, world_size):
    data = Ring(batch_size=4, predict_samples=predict_samples)
    counts = []
    for rank in range(world_size):
        data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
        counts.append(list(data.predict_dataloader()))
    assert all(0 < count <= 4 for share in counts for count in share)
    shares = [sum(share) for share in counts]
    assert sum(shares) == predict_samples
    assert max(shares) - min(shares) <= 1


def test_a_batch_larger_than_the_data_is_rejected_when_training_starts(make_trainer):
    trainer = make_trainer(max_steps=1, num_sanity_val_steps=0)
    with pytest.raises(TooFewSamplesError, match=r"30 samples .* 40 on each"):
        trainer.fit(tiny("wgan_gp", n_critic=5), Ring(num_samples=30, batch_size=8))


@pytest.mark.parametrize("data", ALL)
def test_every_data_set_is_in_the_docs(data):
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert [row for row in rows if f"`{data.__name__}`" in row.split("|")[1]] != []
