"""A figure: numbers that are computed once and kept as JSON, and a picture drawn from them."""

import base64
import hashlib
import io
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure as Picture
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.environment import describe_environment
from benchmarks.figures.style import styled
from benchmarks.records import write_atomically
from gan_lightning.utils.errors import WrongFileError
from gan_lightning.utils.files import whole_file

#: Plain data, as JSON holds it.
Numbers = dict[str, Any]
#: Is told the share of the work that is done, in [0, 1], and what was reached.
Report = Callable[[float, str], None]
#: The key of the PNG text that holds the checksum of the numbers shown.
CHECKSUM_KEY = "sha256 of the numbers"
#: The settings of a figure, a dataclass, for its ``compute``.
Settings = Any


@dataclass(frozen=True)
class Figure:
    """What the command needs to know of a figure.

    Args:
        name: the name on the command line and of its files.
        title: what it shows, in one line.
        protocol: raised with every change that moves its numbers.
        settings: a dataclass with all that ``compute`` depends on.
        tiny: settings with which it takes a second, for tests.
        compute: trains; called with the settings, and the random seed already set.
        draw: draws the picture from the numbers alone.
    """

    name: str
    title: str
    protocol: int
    settings: Settings
    tiny: Settings
    compute: Callable[[Settings, Report], Numbers]
    draw: Callable[[Numbers], Picture]

    def json_path(self, folder: Path) -> Path:
        """The file of its numbers."""
        return folder / f"{self.name}.json"

    def picture_path(self, folder: Path) -> Path:
        """The file of its picture."""
        return folder / f"{self.name}.png"


def make(figure: Figure, settings: Settings, seed: int, folder: Path, report: Report) -> None:
    """Compute the numbers of a figure, write them, and draw its picture."""
    start = time.process_time()
    torch.manual_seed(seed)
    numbers = figure.compute(settings, report)
    content = {
        "figure": figure.name,
        "protocol": figure.protocol,
        "seed": seed,
        "settings": asdict(settings),
        "processor seconds": round(time.process_time() - start),
        "environment": describe_environment(torch.device("cpu")),
        "numbers": numbers,
    }
    write_atomically(figure.json_path(folder), dumps(content))
    draw(figure, folder)


def draw(figure: Figure, folder: Path) -> None:
    """Draw a figure's picture from its file of numbers.

    Raises:
        WrongFileError: there is no such file, or it is of another figure.
    """
    path = figure.json_path(folder)
    content = read(figure, path)
    info = PngInfo()
    info.add_text(CHECKSUM_KEY, checksum(path))
    with styled():
        picture = figure.draw(content["numbers"])
        drawn = io.BytesIO()
        picture.savefig(drawn, format="png")
    with Image.open(drawn) as image, whole_file(figure.picture_path(folder)) as file:
        # Few of the colours differ visibly, and files are half as large with 256.
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(file, format="png", optimize=True, pnginfo=info)


def read(figure: Figure, path: Path) -> dict[str, Any]:
    """The content of a figure's file of numbers.

    Raises:
        WrongFileError: there is no such file, or it is of another figure.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise WrongFileError(f"there is no {path}: make it without --draw") from error
    except ValueError as error:
        raise WrongFileError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("figure") != figure.name:
        raise WrongFileError(f"{path} does not hold the numbers of {figure.name}")
    if content["protocol"] != figure.protocol:
        raise WrongFileError(
            f"{path} is of protocol {content['protocol']}, and {figure.name} of "
            f"{figure.protocol}: make it without --draw"
        )
    return content


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def dumps(content: Numbers) -> str:
    """JSON with a line for each number of a dictionary and for each list of numbers."""
    return _dumps(content, "") + "\n"


def _dumps(value: Any, indent: str) -> str:  # noqa: ANN401
    inner = indent + " "
    if isinstance(value, dict) and value:
        parts = [f"{json.dumps(key)}: {_dumps(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[\n" + ",\n".join(inner + _dumps(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)


def significant(values: Any, digits: int = 4) -> Any:  # noqa: ANN401
    """Numbers, or nested lists of them, with so many significant digits."""
    if isinstance(values, torch.Tensor | np.ndarray):
        values = values.tolist()
    if isinstance(values, list | tuple):
        return [significant(value, digits) for value in values]
    return float(f"{values:.{digits}g}") if isinstance(values, float) else values


def pack(values: torch.Tensor) -> Numbers:
    """Many numbers in little space: 65,536 levels from the least to the greatest, compressed."""
    low, high = values.min().item(), values.max().item()
    levels = (values.double() - low) / ((high - low) or 1) * 65535
    array = levels.round().numpy().astype("<u2")
    # Neighbours are alike, and their differences are small.
    differences = np.diff(array, axis=-1, prepend=np.zeros_like(array[..., :1]))
    data = base64.b64encode(zlib.compress(differences.astype("<u2").tobytes(), 9)).decode()
    return {"shape": list(values.shape), "low": low, "high": high, "data": data}


def unpack(packed: Numbers) -> NDArray[np.float64]:
    """What ``pack`` packed."""
    raw = zlib.decompress(base64.b64decode(packed["data"]))
    differences = np.frombuffer(raw, "<u2").reshape(packed["shape"])
    levels = np.cumsum(differences, axis=-1, dtype="<u2").astype(np.float64)
    return packed["low"] + levels / 65535 * (packed["high"] - packed["low"])
