"""Faces of celebrities."""

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
#: What the partition calls them; 1 is for validation.
NUMBERS = {"train": "0", "test": "2"}


class CelebA(CachedDataModule):
    """162,770 aligned faces of 178 x 218 pixels, and 19,962 for the test.

    Liu et al. 2015, arXiv:1411.7766. Papers crop differently: DCGAN and BEGAN to the face, many
    to 140 or all of the 178 pixels.

    Args:
        data_dir: where img_align_celeba, or its zip archive, and list_eval_partition.txt are, or
            are to be put.
        attribute: what tells the two classes of a conditional model, such as ``Smiling``; read
            from list_attr_celeba.txt.
        size: pixels of the images' side.

    Raises:
        ValueError: a conditional model without an attribute; the base's errors.
    """

    data_dir: str | Path = field(default="data", kw_only=False)
    attribute: str | None = None
    size: int = 64

    by_hand: ClassVar[str] = (
        "Put img_align_celeba.zip, list_eval_partition.txt and list_attr_celeba.txt "
        "(mmlab.ie.cuhk.edu.hk/projects/CelebA.html) into {folder}."
    )

    def __post_init__(self) -> None:
        if self.conditional and self.attribute is None:
            raise ValueError("CelebA has no labels unless --data.attribute names one")
        self.classes = 2 if self.attribute else 0
        super().__post_init__()

    def download(self) -> None:
        """Download unless the files are found."""
        lists = [PARTITION, ATTRIBUTES] if self.attribute else [PARTITION]
        if self._images() is None or not all(map(self._find, lists)):
            datasets.CelebA(self.folder, download=True)

    def source(self, split: Split) -> Source:
        """The faces of the split, from the folder or the archive.

        Raises:
            MissingFileError: a file is not there.
            WrongFileError: a file holds something else.
        """
        pictures = self._images()
        if pictures is None:
            raise MissingFileError(f"the images of CelebA are not in {self.folder}")
        files: FilesSource = FolderSource(pictures) if pictures.is_dir() else ZipSource(pictures)
        places = {file.rsplit("/", 1)[-1]: i for i, file in enumerate(files.files)}
        parts = _table(self._listed(PARTITION), first_row=0)
        chosen = [name for name, part in parts.items() if part[0] == NUMBERS[split]]
        absent = [name for name in chosen if name not in places]
        if absent or not chosen:
            raise MissingFileError(
                f"{len(absent)} of the {len(chosen)} images that {PARTITION} has for {split} are "
                f"not in {pictures}, {', '.join(absent[:1])}"
            )
        labels = self._labels(chosen) if self.attribute else None
        return Selection(files, [places[name] for name in chosen], labels)

    def _labels(self, names: list[str]) -> list[int]:
        """1 where the attribute is said to be there, else 0."""
        path = self._listed(ATTRIBUTES)
        table = _table(path, first_row=2)
        attributes = path.read_text().splitlines()[1].split()
        if self.attribute not in attributes:
            raise ArgumentError(
                f"CelebA has no attribute {self.attribute!r}: choose from {', '.join(attributes)}"
            )
        column = attributes.index(self.attribute)
        try:
            return [int(table[name][column] == "1") for name in names]
        except (KeyError, IndexError) as error:
            raise WrongFileError(f"{path} is not whole: {error} is not in it") from error

    def _listed(self, name: str) -> Path:
        path = self._find(name)
        if path is None:
            raise MissingFileError(f"{name} of CelebA is not in {self.folder}")
        return path

    def _images(self) -> Path | None:
        return self._find(IMAGES) or self._find(f"{IMAGES}.zip")

    def _find(self, name: str) -> Path | None:
        for folder in (self.folder, self.folder / "celeba"):
            if (folder / name).exists():
                return folder / name
        return None


def _table(path: Path, first_row: int) -> dict[str, list[str]]:
    """What a list says of each image, from line ``first_row`` on."""
    try:
        lines = path.read_text().splitlines()[first_row:]
        rows = [line.split() for line in lines if line.strip()]
        table = {name: said for name, *said in rows if said}
    except ValueError as error:
        raise WrongFileError(f"{path} is not a list of images ({error})") from error
    if not table:
        raise WrongFileError(f"{path} is not a list of images: nothing is said of any")
    return table
