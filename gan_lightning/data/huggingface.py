"""Images in the format of the Hugging Face hub."""

import io
import os
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_lightning.data.base import Split
from gan_lightning.data.images import CachedDataModule, colour
from gan_lightning.data.pixels import Colour, UnreadableImageError, decode
from gan_lightning.data.sources import Source, open_image, stat_fingerprint
from gan_lightning.utils.errors import (
    ArgumentError,
    MissingFileError,
    MissingPackageError,
    SourceChangedError,
)
from gan_lightning.utils.files import user_path


class HuggingFaceImages(CachedDataModule):
    """A data set of images that the package datasets loads: from the hub, or from a folder.

    Args:
        path: the set's name on the hub, a folder of its files, or one that ``save_to_disk`` wrote.
        name: which of the set's configurations.
        image_column: where the images are.
        label_column: where the classes are, for a conditional model.
        size: pixels of the side that the images are brought to.
        background: what transparent images are laid on: a name, or #rrggbb.

    Raises:
        MissingPackageError: the package datasets is not installed.
        MissingFileError: there is no such data set, or it is not to be had.
        ArgumentError: it has no such column or split.
        ValueError: there is no such colour; the base's errors.
    """

    path: str = field(kw_only=False)
    name: str | None = None
    image_column: str = "image"
    label_column: str = "label"
    size: int = 64
    background: str = "white"

    def __post_init__(self) -> None:
        self._background = colour(self.background)
        self._splits_read: dict[str, Any] | None = None
        if self.conditional:
            self.classes = self._count_classes()
        super().__post_init__()

    def source(self, split: Split) -> Source:
        """The images of the split; where there is no test split, of the validation split."""
        rows = self._rows(split)
        labels = self._labels(split) if self.conditional else None
        return _Rows(rows, self.image_column, self._background, labels)

    def _count_classes(self) -> int:
        kind = self._rows("train").features.get(self.label_column)
        return getattr(kind, "num_classes", None) or max(self._labels("train")) + 1

    def _labels(self, split: Split) -> list[int]:
        rows = self._rows(split)
        if self.label_column not in rows.column_names:
            raise ArgumentError(
                f"{self.path} has no column {self.label_column!r}: choose from "
                f"{', '.join(rows.column_names)}"
            )
        labels: list[int] = rows[self.label_column][:]
        for label in labels:
            if not isinstance(label, int) or label < 0:
                raise ArgumentError(
                    f"the labels of {self.path} in {self.label_column!r} are to be numbers from 0 "
                    f"on, and one is {label!r}"
                )
        return labels

    def _rows(self, split: Split) -> Any:  # noqa: ANN401
        splits = self._read()
        names = ["train"] if split == "train" else ["test", "validation", "valid", "val", "train"]
        found = [splits[name] for name in names if name in splits]
        if not found:
            raise ArgumentError(f"{self.path} has no split {split}: it has {', '.join(splits)}")
        features = found[0].features
        images = [name for name, kind in features.items() if type(kind).__name__ == "Image"]
        if self.image_column not in images:
            raise ArgumentError(
                f"{self.path} has no images in {self.image_column!r}: its columns with images are "
                f"{', '.join(images) or 'none'}"
            )
        return found[0]

    def _read(self) -> dict[str, Any]:
        if self._splits_read is None:
            try:
                import datasets
            except ImportError as error:
                raise MissingPackageError(
                    "HuggingFaceImages needs the package datasets: "
                    "pip install 'gan-lightning[huggingface]'"
                ) from error
            folder = user_path(self.path)
            saved = any((folder / file).is_file() for file in ("state.json", "dataset_dict.json"))
            try:
                if saved:
                    read = datasets.load_from_disk(str(folder))
                else:
                    place = str(folder) if folder.is_dir() else self.path
                    read = datasets.load_dataset(place, self.name)
            except Exception as error:
                # Of the hub, the network, the files and their formats.
                reason = " ".join(str(error).split())
                raise MissingFileError(
                    f"the data set {self.path} cannot be loaded ({reason}): name one on the hub, "
                    "or a folder that holds it, with --data.path"
                ) from error
            self._splits_read = read if isinstance(read, dict) else {"train": read}
        return self._splits_read


class _Rows(Source):
    """A column of image files."""

    def __init__(
        self,
        rows: Any,  # noqa: ANN401
        column: str,
        background: Colour,
        labels: Sequence[int] | None,
    ) -> None:
        import datasets

        # As files, which are decoded as all others are.
        self.rows = rows.select_columns(column).cast_column(column, datasets.Image(decode=False))
        self.column, self.background, self.labels = column, background, labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Tensor:
        file = self.rows[i][self.column]
        if file is None or not (file["bytes"] or file["path"]):
            raise UnreadableImageError("there is no image in this row")
        content = io.BytesIO(file["bytes"]) if file["bytes"] is not None else Path(file["path"])
        if isinstance(content, Path) and content.exists() and not content.is_file():
            raise UnreadableImageError("a folder, a pipe or a device")  # which may have no end
        try:
            with open_image(content) as image:
                return decode(image, self.background)
        except OSError as error:
            raise SourceChangedError(f"{file['path']} went away while it was read") from error

    def name(self, i: int) -> str:
        return f"row {i}"

    def fingerprint(self) -> str:
        """The one that datasets keeps of rows, the files that they name, and the background."""
        parts = self.rows.data.column(self.column).chunks
        paths = (path for part in parts for path in part.field("path").to_pylist())
        outside = [path for path in paths if path and os.path.isabs(path)]
        return f"{self.rows._fingerprint} {stat_fingerprint(Path('/'), outside)} {self.background}"
