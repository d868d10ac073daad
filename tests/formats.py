"""Small data sets of random images on disk, each in its original format."""

import gzip
import hashlib
import io
import pickle
import zipfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

CELEBA_ATTRIBUTES = ["Bald", "Smiling", "Young"]
#: Images per split of the image folder, CelebA, LSUN and Hugging Face data sets.
TRAIN, TEST = 30, 24


def write_mnist(folder, patch):
    """Four packed IDX files with 100 images per split."""
    rng = np.random.default_rng(0)
    for name in ("train", "t10k"):
        images = rng.integers(0, 256, (100, 28, 28), np.uint8)
        labels = (np.arange(100) % 10).astype(np.uint8)
        _write_idx(folder / f"{name}-images-idx3-ubyte.gz", images)
        _write_idx(folder / f"{name}-labels-idx1-ubyte.gz", labels)
    return {"data_dir": folder}


def write_cifar10(folder, patch):
    """A folder of pickled batches, 40 images each."""
    names = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]
    batches = folder / "cifar-10-batches-py"
    _write_cifar(datasets.CIFAR10, batches, *names, "labels", "label_names", "batches.meta", patch)
    return {"data_dir": folder}


def write_cifar100(folder, patch):
    """A folder of two pickled files, 100 images each: one of each class."""
    batches = folder / "cifar-100-python"
    names = "fine_labels", "fine_label_names", "meta"
    _write_cifar(datasets.CIFAR100, batches, ["train"], ["test"], *names, patch)
    return {"data_dir": folder}


def write_svhn(folder, patch):
    """Two MATLAB files of 40 images each; the digit 0 has the label 10."""
    rng = np.random.default_rng(0)
    sums = dict(datasets.SVHN.split_list)
    for split in ("train", "test"):
        name = f"{split}_32x32.mat"
        x = rng.integers(0, 256, (32, 32, 3, 40), np.uint8)
        savemat(folder / name, {"X": x, "y": np.arange(40, dtype=np.uint8)[:, None] % 10 + 1})
        sums[split] = [sums[split][0], name, _md5((folder / name).read_bytes())]
    # torchvision verifies checksums, so patch in those of these files.
    patch.setattr(datasets.SVHN, "split_list", sums)
    return {"data_dir": folder}


def write_stl10(folder, patch):
    """The binary files: images stored column by column, classes counted from 1."""
    binary = folder / "stl10_binary"
    binary.mkdir()
    rng = np.random.default_rng(0)
    for name, count in {"train": 20, "test": 10, "unlabeled": 30}.items():
        rng.integers(0, 256, (count, 3, 96, 96), np.uint8).tofile(binary / f"{name}_X.bin")
        if name != "unlabeled":
            (np.arange(count) % 10 + 1).astype(np.uint8).tofile(binary / f"{name}_y.bin")
    return {"data_dir": folder}


def write_celeba(folder, patch):
    """A zip archive of JPEG files, and the lists of the partition and the attributes."""
    parts = [0] * TRAIN + [1] * 5 + [2] * TEST
    names = [f"{i:06}.jpg" for i in range(1, len(parts) + 1)]
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        archive.writestr("img_align_celeba/", "")
        for i, name in enumerate(names):
            archive.writestr(f"img_align_celeba/{name}", encoded(picture(178, 218, i), "JPEG"))
    lines = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{name} -1 {1 if i % 3 == 0 else -1}  1" for i, name in enumerate(names)]
    lines = [str(len(names)), " ".join(CELEBA_ATTRIBUTES) + " ", *rows]
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    return {"data_dir": folder}


def write_lsun(folder, patch):
    """Two LMDB databases of JPEG files with hexadecimal keys."""
    lmdb = pytest.importorskip("lmdb", reason="NOT TESTED: lmdb is not installed")
    for split, count in {"train": TRAIN, "val": TEST}.items():
        path = str(folder / f"bedroom_{split}_lmdb")
        with lmdb.open(path, map_size=2**24) as database, database.begin(write=True) as transaction:
            for i in range(count):
                key = hashlib.sha1(f"{split}{i}".encode()).hexdigest().encode()
                transaction.put(key, encoded(picture(300, 256, i), "JPEG"))
    return {"data_dir": folder}


def write_image_folder(folder, patch):
    """A training and a test folder, each with PNG files in sub-folders for two classes."""
    for split, count in {"train": TRAIN, "test": TEST}.items():
        for i in range(count):
            class_folder = folder / split / ("cats", "dogs")[i % 2]
            class_folder.mkdir(parents=True, exist_ok=True)
            (class_folder / f"{i:03}.png").write_bytes(encoded(picture(20, 16, i), "PNG"))
    return {"data_dir": folder}


def write_huggingface(folder, patch):
    """The output of ``save_to_disk``: Arrow files of PNG images and classes."""
    huggingface = pytest.importorskip("datasets", reason="NOT TESTED: datasets is not installed")
    splits = {}
    for split, count in {"train": TRAIN, "test": TEST}.items():
        images = [{"bytes": encoded(picture(20, 16, i), "PNG"), "path": None} for i in range(count)]
        features = huggingface.Features(
            image=huggingface.Image(), label=huggingface.ClassLabel(names=["cats", "dogs"])
        )
        rows = {"image": images, "label": [i % 2 for i in range(count)]}
        splits[split] = huggingface.Dataset.from_dict(rows, features)
    huggingface.DatasetDict(splits).save_to_disk(str(folder))
    return {"path": folder}


#: ``WRITERS[data module](folder, monkeypatch)`` writes the files and returns the arguments with
#: which the data module finds them.
WRITERS = {
    "MNIST": write_mnist,
    "FashionMNIST": write_mnist,
    "CIFAR10": write_cifar10,
    "CIFAR100": write_cifar100,
    "SVHN": write_svhn,
    "STL10": write_stl10,
    "CelebA": write_celeba,
    "LSUN": write_lsun,
    "ImageFolder": write_image_folder,
    "HuggingFaceImages": write_huggingface,
}


def picture(width, height, seed=0):
    """A smooth random colour image, which JPEG hardly changes."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    return coarse.resize((width, height), Image.Resampling.BILINEAR)


def encoded(image, kind, **options):
    """The bytes of the image's file in the format ``kind``."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _write_cifar(cls, folder, train, test, labels, names, meta, patch):
    folder.mkdir()
    rng = np.random.default_rng(0)
    classes, count = (10, 40) if cls is datasets.CIFAR10 else (100, 100)
    for attribute, files in {"train_list": train, "test_list": test}.items():
        sums = []
        for name in files:
            pixels = rng.integers(0, 256, (count, 3072), np.uint8)
            batch = {"data": pixels, labels: [i * 7 % classes for i in range(count)]}
            sums.append([name, _write_pickle(folder / name, batch)])
        # torchvision verifies checksums, so patch in those of these files.
        patch.setattr(cls, attribute, sums)
    checksum = _write_pickle(folder / meta, {names: [str(i) for i in range(classes)]})
    patch.setattr(cls, "meta", {"filename": meta, "key": names, "md5": checksum})


def _write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


def _write_pickle(path, value):
    data = pickle.dumps(value)
    path.write_bytes(data)
    return _md5(data)


def _md5(content):
    return hashlib.md5(content).hexdigest()
