"""The generators that come with the package, by name: ``load("digits/dcgan")``.

The standard library alone is imported here, so that they are listed at once.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gan_lightning.utils.errors import WrongFileError

#: A folder for each generator, in the format that ``save_pretrained`` writes, and their index.
FOLDER = Path(__file__).parent / "weights"
INDEX = FOLDER / "index.json"


@dataclass(frozen=True)
class Pretrained:
    """A generator that comes with the package.

    Args:
        description: what it is, in a line.
        technique: its key in ``TECHNIQUES``.
        protocol: the benchmark's protocol that it was trained with, its ``protocol_version``, its
            row and its ``seed``; ``options`` are what was changed in addition.
        protocol_version: see ``protocol``.
        row: see ``protocol``.
        seed: see ``protocol``.
        options: see ``protocol``.
        record: the path of the benchmark's record of such a run; "" where there are ``options``.
        scores: of these weights, by the names that state their protocols.
        images: real images that its critic was shown.
        updates: of the generator.
        data_license: the licence of the data.
        license: the licence of the weights.
        sha256: the checksum of each file in its folder.
    """

    description: str
    technique: str
    protocol: str
    protocol_version: int
    row: str
    seed: int
    options: list[str]
    record: str
    scores: dict[str, float]
    images: int
    updates: int
    data_license: str
    license: str
    sha256: dict[str, str]


def list_pretrained() -> dict[str, Pretrained]:
    """The generators that come with the package, by the names that ``load`` takes."""
    return {name: Pretrained(**entry) for name, entry in json.loads(INDEX.read_text()).items()}


def find_pretrained(name: str) -> str | None:
    """The name of a generator, given in any case and with any of ``-`` and ``_``; or None."""
    wanted = _spelt(name)
    return next((each for each in list_pretrained() if _spelt(each) == wanted), None)


def checked_folder(name: str) -> Path:
    """The folder of a generator whose files have the checksums of the index.

    Raises:
        WrongFileError: a file is missing, damaged or another one.
    """
    folder = FOLDER / name
    for file, expected in list_pretrained()[name].sha256.items():
        if sha256_of(folder)[file] != expected:
            raise WrongFileError(
                f"{folder / file} is not the file that came with the package: install it again"
            )
    return folder


def sha256_of(folder: Path) -> Mapping[str, str]:
    """The checksum of each file that loading reads; "" for one that is missing."""
    paths = {name: folder / name for name in ("config.json", "model.safetensors")}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for name, path in paths.items()
    }


def _spelt(name: str) -> str:
    return name.lower().replace("-", "_")
