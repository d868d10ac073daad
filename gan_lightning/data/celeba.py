"""CelebA, faces of celebrities."""

from dataclasses import field
from pathlib import Path
from typing import ClassVar

from torchvision import datasets

from gan_lightning.data.base import Split
from gan_lightning.data.images import CachedDataModule
from gan_lightning.data.sources import FilesSource, FolderSource, Selection, Source, ZipSource
from gan_lightning.utils.errors import ArgumentError, MissingFileError, WrongFileError

IMAGES, PARTITION, ATTRIBUTES = (
    "img_align_celeba",
    "list_eval_partition.txt",
    "list_attr_celeba.txt",
)
#: Values of the splits in the partition file; 1 is the validation split.
PARTITION_VALUES = {"train": "0", "test": "2"}


class CelebA(CachedDataModule):
    """162,770 aligned faces of 178 x 218 pixels, and 19,962 for testing.

    Liu et al. 2015, arXiv:1411.7766. Papers crop differently: DCGAN and BEGAN to the face, many
    others to 140 or all 178 pixels.

    Args:
        data_dir: the folder of img_align_celeba, or its zip archive, and list_eval_partition.txt;
            they are downloaded there if missing.
        attribute: the attribute that defines the two classes of a conditional model, such as
            ``Smiling``; read from list_attr_celeba.txt.
        size: side of the images in pixels.

    Raises:
        ValueError: ``conditional`` without an attribute; the errors of the base class.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    attribute: str | None = None
    size: int = 64

    instructions: ClassVar[str] = (
        "Put img_align_celeba.zip, list_eval_partition.txt and list_attr_celeba.txt "
        "(mmlab.ie.cuhk.edu.hk/projects/CelebA.html) into {folder}."
    )

    def __post_init__(self) -> None:
        if self.conditional and self.attribute is None:
            raise ValueError("CelebA has no labels unless --data.attribute is set")
        self.classes = 2 if self.attribute else 0
        super().__post_init__()

    def class_name(self, i: int) -> str:
        """The attribute, or that it is absent."""
        return f"{self.attribute}" if i else f"not {self.attribute}"

    def download(self) -> None:
        """Download the files unless they exist."""
        lists = [PARTITION, ATTRIBUTES] if self.attribute else [PARTITION]
        if self._images() is None or not all(map(self._find, lists)):
            datasets.CelebA(self.folder, download=True)

    def source(self, split: Split) -> Source:
        """The faces of the split, from the folder or the archive.

        Raises:
            MissingFileError: a file is missing.
            WrongFileError: a file has the wrong format.
        """
        images = self._images()
        if images is None:
            raise MissingFileError(f"the images of CelebA are not in {self.folder}")
        files: FilesSource = FolderSource(images) if images.is_dir() else ZipSource(images)
        indices = {file.rsplit("/", 1)[-1]: i for i, file in enumerate(files.files)}
        parts = _read_table(self._require(PARTITION), first_row=0)
        chosen = [name for name, part in parts.items() if part[0] == PARTITION_VALUES[split]]
        if not chosen:
            raise WrongFileError(
                f"{self._require(PARTITION)} lists no images of the {split} split, which have the "
                f"value {PARTITION_VALUES[split]}"
            )
        if absent := [name for name in chosen if name not in indices]:
            raise MissingFileError(
                f"{len(absent)} of the {len(chosen)} images that {PARTITION} lists for {split} "
                f"are not in {images}: the first is {absent[0]}"
            )
        labels = self._labels(chosen) if self.attribute else None
        return Selection(files, [indices[name] for name in chosen], labels)

    def _labels(self, names: list[str]) -> list[int]:
        """1 for images that have the attribute, else 0."""
        path = self._require(ATTRIBUTES)
        table = _read_table(path, first_row=2)
        attributes = path.read_text().splitlines()[1].split()
        if self.attribute not in attributes:
            raise ArgumentError(
                f"CelebA has no attribute {self.attribute!r}: choose from {', '.join(attributes)}"
            )
        column = attributes.index(self.attribute)
        for name in names:
            if len(row := table.get(name, [])) != len(attributes):
                raise WrongFileError(
                    f"{path} has {len(row)} values for {name}, not one for each of "
                    f"{len(attributes)} attributes"
                )
        return [int(table[name][column] == "1") for name in names]

    def _require(self, name: str) -> Path:
        path = self._find(name)
        if path is None:
            raise MissingFileError(f"{name} of CelebA is not in {self.folder}")
        if not path.is_file():
            raise WrongFileError(f"{path} is not a file")
        return path

    def _images(self) -> Path | None:
        return self._find(IMAGES) or self._find(f"{IMAGES}.zip")

    def _find(self, name: str) -> Path | None:
        for folder in (self.folder, self.folder / "celeba"):
            if (folder / name).exists():
                return folder / name
        return None


def _read_table(path: Path, first_row: int) -> dict[str, list[str]]:
    """Map each image to its values in a list, which starts at line ``first_row``."""
    try:
        lines = path.read_text().splitlines()[first_row:]
        rows = [line.split() for line in lines if line.strip()]
        table = {name: values for name, *values in rows if values}
    except ValueError as error:
        raise WrongFileError(f"{path} is not a list of images ({error})") from error
    if not table:
        raise WrongFileError(f"{path} is not a list of images: it has no values")
    return table
