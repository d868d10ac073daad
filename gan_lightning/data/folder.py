"""A folder of one's own images."""

from dataclasses import field
from pathlib import Path

from gan_lightning.data.base import Split
from gan_lightning.data.images import CachedDataModule, colour
from gan_lightning.data.sources import FilesSource, FolderSource, ZipSource
from gan_lightning.utils.errors import MissingFileError


class ImageFolder(CachedDataModule):
    """The images of a folder or a zip archive, in any format that Pillow reads, of any size.

    With labels, the sub-folders of the first level are the classes. Where the only sub-folders are
    ``train`` and ``test`` or ``val``, they are the splits; otherwise both splits are all images.

    Args:
        data_dir: the folder, or the archive.
        size: pixels of the side that the images are brought to.
        background: what transparent images are laid on: a name, or #rrggbb.

    Raises:
        MissingFileError: labels are asked for and there is no such folder.
        WrongFileError: labels are asked for and there are no images.
        ValueError: labels are asked for and the images are not in sub-folders; there is no such
            colour; the base's errors.
    """

    data_dir: str | Path = field(kw_only=False)
    size: int = 64
    background: str = "white"

    def __post_init__(self) -> None:
        self._background = colour(self.background)
        self._class_names: list[str] | None = None
        if self.conditional:
            source = self.source("train")
            if source.without_class is not None:
                raise ValueError(
                    f"there are no labels: {source.without_class} in {self.data_dir} is not in a "
                    "sub-folder, one for each class; conditional must be false"
                )
            self._class_names = source.classes
            self.classes = len(source.classes)
        super().__post_init__()

    def source(self, split: Split) -> FilesSource:
        """The pictures of the split.

        Raises:
            MissingFileError: there is no such folder or archive.
            WrongFileError: there are no images in it, or the test's are of another class.
        """
        if not self.folder.exists():
            raise MissingFileError(
                f"there is no folder {self.folder}: name one with --data.data_dir"
            )
        kind = ZipSource if self.folder.is_file() else FolderSource
        return kind(self.folder, self._background, split, self._class_names)
