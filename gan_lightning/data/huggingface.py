"""Images in the format of the Hugging Face Hub."""

import io
import os
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor

from gan_lightning.data.base import Split
from gan_lightning.data.images import CachedDataModule, colour
from gan_lightning.data.pixels import Colour, UnreadableImageError, decode
from gan_lightning.data.sources import Source, file_fingerprint, open_image
from gan_lightning.utils.errors import (
    ArgumentError,
    MissingFileError,
    MissingPackageError,
    SourceChangedError,
    WrongFileError,
    one_line,
)
from gan_lightning.utils.files import user_path


class HuggingFaceImages(CachedDataModule):
    """An image data set that the package datasets loads from the hub or from a folder.

    The classes are those of the training images, in the order of their labels, which need not be
    consecutive: a class without training images is left out.

    Args:
        path: name on the hub, a folder of files, or a folder that ``save_to_disk`` wrote.
        name: configuration of the data set.
        image_column: column that contains the images.
        label_column: column that contains the classes, for a conditional model.
        size: side of the resized images in pixels.
        background: the colour behind transparent images: a name or #rrggbb.

    Raises:
        MissingPackageError: the package datasets is not installed.
        MissingFileError: the data set does not exist or cannot be downloaded.
        ArgumentError: a column or split does not exist.
        WrongFileError: a test image has a class that the training images do not have.
        ValueError: the colour does not exist; the errors of the base class.
    """

    path: str = field(kw_only=False)
    name: str | None = None
    image_column: str = "image"
    label_column: str = "label"
    size: int = 64
    background: str = "white"

    def __post_init__(self) -> None:
        self._background = colour(self.background)
        self._loaded_splits: dict[str, Any] | None = None
        self._class_labels: list[int] = []
        if self.conditional:
            self._class_labels = sorted(set(self._labels("train")))
            self.classes = len(self._class_labels)
            if self._class_labels != list(range(self.classes)):
                names = ", ".join(self.class_name(i) for i in range(min(self.classes, 20)))
                more = ", ..." if self.classes > 20 else ""
                rank_zero_info(
                    f"{self.path} has training images of {self.classes} classes, which are "
                    f"numbered from 0: {names}{more}"
                )
        super().__post_init__()

    def class_name(self, i: int) -> str:
        """The declared name, or the label."""
        label = self._class_labels[i]
        feature = self._split_rows("train").features[self.label_column]
        return one_line(feature.int2str(label)) if hasattr(feature, "int2str") else str(label)

    def source(self, split: Split) -> Source:
        """The images of the split; if there is no test split, the validation split."""
        rows = self._split_rows(split)
        labels = self._class_indices(split) if self.conditional else None
        return _ColumnSource(rows, self.image_column, self._background, labels)

    def _class_indices(self, split: Split) -> list[int]:
        indices = {label: i for i, label in enumerate(self._class_labels)}
        labels = self._labels(split)
        for label in labels:
            if label not in indices:
                raise WrongFileError(
                    f"{self.path} has the class {label}, which the training images do not have"
                )
        return [indices[label] for label in labels]

    def _labels(self, split: Split) -> list[int]:
        rows = self._split_rows(split)
        if self.label_column not in rows.column_names:
            raise ArgumentError(
                f"{self.path} has no column {self.label_column!r}: choose from "
                f"{', '.join(rows.column_names)}"
            )
        labels: list[int] = rows[self.label_column][:]
        for label in labels:
            if not isinstance(label, int) or label < 0:
                raise ArgumentError(
                    f"the labels of {self.path} in {self.label_column!r} must be integers from 0, "
                    f"got {label!r}"
                )
        return labels

    def _split_rows(self, split: Split) -> Any:  # noqa: ANN401
        splits = self._load_splits()
        names = ["train"] if split == "train" else ["test", "validation", "valid", "val", "train"]
        found = [splits[name] for name in names if name in splits]
        if not found:
            raise ArgumentError(f"{self.path} has no split {split}: it has {', '.join(splits)}")
        features = found[0].features
        images = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
        if self.image_column not in images:
            raise ArgumentError(
                f"{self.path} has no images in {self.image_column!r}: its columns with images are "
                f"{', '.join(images) or 'none'}"
            )
        return found[0]

    def _load_splits(self) -> dict[str, Any]:
        if self._loaded_splits is None:
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
                    loaded = datasets.load_from_disk(str(folder))
                else:
                    path = str(folder) if folder.is_dir() else self.path
                    loaded = datasets.load_dataset(path, self.name)
            except Exception as error:
                # The hub, the network, the files and their formats raise many kinds of errors.
                reason = " ".join(str(error).split())
                raise MissingFileError(
                    f"the data set {self.path} cannot be loaded ({reason}): set --data.path to the "
                    "name of a data set on the hub or to its folder"
                ) from error
            self._loaded_splits = loaded if isinstance(loaded, dict) else {"train": loaded}
        return self._loaded_splits


class _ColumnSource(Source):
    """A column of image files."""

    def __init__(
        self,
        rows: Any,  # noqa: ANN401
        column: str,
        background: Colour,
        labels: Sequence[int] | None,
    ) -> None:
        import datasets

        # Undecoded, so that they are decoded like the images of all other sources.
        self.rows = rows.select_columns(column).cast_column(column, datasets.Image(decode=False))
        self.column, self.background, self.labels = column, background, labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Tensor:
        file = self.rows[i][self.column]
        if file is None or not (file["bytes"] or file["path"]):
            raise UnreadableImageError("there is no image in this row")
        content = io.BytesIO(file["bytes"]) if file["bytes"] is not None else Path(file["path"])
        try:
            with open_image(content) as image:
                return decode(image, self.background)
        except OSError as error:
            raise SourceChangedError(
                f"{file['path']} disappeared while it was being read"
            ) from error

    def name(self, i: int) -> str:
        return f"row {i}"

    def fingerprint(self) -> str:
        """The fingerprint of datasets, of its files and of those that the rows refer to."""
        chunks = self.rows.data.column(self.column).chunks
        paths = (path for chunk in chunks for path in chunk.field("path").to_pylist())
        external = [path for path in paths if path and os.path.isabs(path)]
        files = [os.path.abspath(file["filename"]) for file in self.rows.cache_files]
        checksum = file_fingerprint(Path("/"), [*files, *external])
        return f"{self.rows._fingerprint} {checksum} {self.background}"
