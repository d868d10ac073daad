"""A folder of one's own images."""

from pathlib import Path
from typing import Any

from gan_lightning.data.base import Split
from gan_lightning.data.images import CachedDataModule, colour
from gan_lightning.data.sources import FilesSource, FolderSource, ZipSource


class ImageFolder(CachedDataModule):
    """The images of a folder or a zip archive, in any format that Pillow reads, of any size.

    With labels, the sub-folders of the first level are the classes. A folder with a sub-folder
    ``train`` is trained on that and tested on ``test`` or ``val`` beside it; any other is tested
    on what it is trained on.

    Args:
        data_dir: the folder, or the archive.
        size: pixels of the side that the images are brought to.
        background: what transparent images are laid on: a name, or #rrggbb.
        options: of ``CachedDataModule``.

    Raises:
        MissingFileError: labels are asked for and there is no such folder.
        WrongFileError: labels are asked for and there are no images.
        ValueError: labels are asked for and the images are not in sub-folders; there is no such
            colour; the base's errors.
    """

    def __init__(
        self, data_dir: str, size: int = 64, background: str = "white", **options: Any
    ) -> None:
        self.data_dir = Path(data_dir).expanduser()
        self.background = colour(background)
        self._sources: dict[Split, FilesSource] = {}
        if options.get("conditional"):
            self.classes = len(self.source("train").classes)
            if not self.classes:
                raise ValueError(
                    f"there are no labels: the images of {data_dir} are not all in sub-folders, "
                    "one for each class; conditional must be false"
                )
        super().__init__(size=size, **options)

    def source(self, split: Split) -> FilesSource:
        """The pictures of the split.

        Raises:
            MissingFileError: there is no such folder or archive.
            WrongFileError: there are no images in it.
        """
        if split not in self._sources:
            place = self._place_of(split)
            kind = FolderSource if place.is_dir() or place.suffix != ".zip" else ZipSource
            self._sources[split] = kind(place, self.background)
        return self._sources[split]

    def _place_of(self, split: Split) -> Path:
        if not (self.data_dir / "train").is_dir():
            return self.data_dir
        names = ["train"] if split == "train" else ["test", "val", "valid", "validation", "train"]
        places = [self.data_dir / name for name in names]
        return next(place for place in places if place.is_dir())
