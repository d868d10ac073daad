"""The classes that ``predict`` is asked for, and the folders that their samples are written to."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

#: The most names that an error message lists.
LISTED = 20


class LabelLoader:
    """Batches ``(n, y)`` of the labels ``(N,)`` in order: their number, and themselves ``(n,)``."""

    def __init__(self, y: Tensor, batch_size: int) -> None:
        self.y, self.batch_size = y, batch_size

    def __len__(self) -> int:
        return -(-len(self.y) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        return ((len(y), y) for y in self.y.split(self.batch_size) if len(y))


def class_numbers(
    asked: Sequence[int | str],
    names: Sequence[str],
    option: str = "predict_classes",
    remedy: str = "choose one, or a list in brackets, from",
) -> list[int]:
    """The number of each class, which is asked for by its name or its number, once each.

    Raises:
        ValueError: none is asked for, or one does not exist.
    """
    if not asked:
        raise ValueError(f"{option} names no class: leave it out for all classes")
    numbers = {str(i): i for i in range(len(names))} | {name: i for i, name in enumerate(names)}
    for each in asked:
        if str(each) not in numbers:
            choices = f"0 to {len(names) - 1}"
            if list(names) != [str(i) for i in range(len(names))]:
                listed = ", ".join(names[:LISTED]) + ", ..." * (len(names) > LISTED)
                choices += f", or by name from {listed}"
            raise ValueError(f"{option} has no class {each}: {remedy} {choices}")
    return list(dict.fromkeys(numbers[str(each)] for each in asked))


def class_folders(names: Sequence[str]) -> list[str]:
    """The name of each class's folder; in the order of their names, they are in that of the labels.

    So ``ImageFolder``, which sorts its folders, reads the same labels if each has an image. They
    are the names of the classes, if these are sorted and all fit folders; otherwise their numbers,
    with leading zeros.
    """
    # Hidden folders are not read.
    usable = all(name == Path(name).name and not name.startswith(".") for name in names)
    if usable and all(names) and list(names) == sorted(set(names)):
        return list(names)
    digits = len(str(len(names) - 1))
    return [f"{i:0{digits}d}" for i in range(len(names))]
