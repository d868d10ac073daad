"""Files of torch, read without running what they hold."""

import os
import zipfile
from pathlib import Path
from typing import IO, Any

import torch


class CompressedError(ValueError):
    """A file would unpack to more than its own size."""


def load_tensors(file: Path | IO[bytes], map_location: Any = "cpu") -> Any:  # noqa: ANN401
    """The tensors and plain values that ``torch.save`` wrote.

    Raises:
        CompressedError: the file would unpack to more than its own size.
        Exception: of many kinds, where it holds something else.
    """
    check_stored(file)
    if not isinstance(file, Path):
        file.seek(0)
    return torch.load(file, map_location=map_location, weights_only=True)


def check_stored(file: Path | IO[bytes]) -> None:
    """Check that an archive stores its members as they are, and none twice, as torch's do.

    Raises:
        CompressedError: the file would unpack to more than its own size.
    """
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        assert archive.fp is not None
        size = archive.fp.seek(0, os.SEEK_END)
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not stored or sum(member.file_size for member in members) > size:
        raise CompressedError("it is compressed, and torch.save compresses nothing")
