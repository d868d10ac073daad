"""A folder of your own images."""

import os
from dataclasses import field
from pathlib import Path

from gan_lightning.data.base import Split
from gan_lightning.data.images import CachedDataModule, colour
from gan_lightning.data.sources import FilesSource, FolderSource, ZipSource
from gan_lightning.utils.errors import MissingFileError


class ImageFolder(CachedDataModule):
    """The images of a folder or a zip archive, of any size and in any format that Pillow reads.

    With labels, the first-level sub-folders are the classes. If the only sub-folders are ``train``
    and ``test`` or ``val``, they are the splits; otherwise both splits contain all images.

    Args:
        data_dir: the folder, or the archive.
        size: side of the resized images in pixels.
        background: the colour behind transparent images: a name or #rrggbb.

    Raises:
        MissingFileError: labels are requested but the folder does not exist.
        WrongFileError: labels are requested but there are no images.
        ValueError: labels are requested but the images are not in sub-folders; the colour does not
            exist; the errors of the base class.
    """

    data_dir: str | Path = field(kw_only=False)
    size: int = 64
    background: str = "white"

    def __post_init__(self) -> None:
        self._background = colour(self.background)
        self._class_names: list[str] | None = None
        if self.conditional:
            source = self.source("train")
            if source.unlabelled_file is not None:
                raise ValueError(
                    f"there are no labels: {source.unlabelled_file} in {self.data_dir} is not in a "
                    "sub-folder. Use one sub-folder per class, or set conditional to false"
                )
            self._class_names = source.classes
            self.classes = len(source.classes)
        super().__post_init__()

    def class_name(self, i: int) -> str:
        """The name of the sub-folder."""
        return self._class_names[i] if self._class_names else super().class_name(i)

    def source(self, split: Split) -> FilesSource:
        """The images of the split.

        Raises:
            MissingFileError: the folder or archive does not exist.
            WrongFileError: it contains no images, or a test image has an unknown class.
        """
        # Path's own exists raises for a name that is too long.
        if not os.path.exists(self.folder):
            raise MissingFileError(
                f"there is no folder {self.folder}: choose one with --data.data_dir"
            )
        source_class = ZipSource if self.folder.is_file() else FolderSource
        return source_class(self.folder, self._background, split, self._class_names)
