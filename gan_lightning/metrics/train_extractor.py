"""Train a classifier on a data set's own classes, to score generated images with it.

``python -m gan_lightning.metrics.train_extractor --data FashionMNIST --output fashion.pt``, then
``--evaluate.extractor classifier --evaluate.weights fashion.pt``. It is meant for data on which
ImageNet's features mean little. On one machine, with one thread, the file is the same byte for byte
every time.
"""

import re
import tempfile
from inspect import isabstract
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from jsonargparse import ArgumentParser
from rich.console import Console
from rich.progress import track
from torch import Tensor

from gan_lightning import data as data_modules
from gan_lightning.data import GANDataModule
from gan_lightning.metrics.classifier import (
    Classifier,
    Description,
    checked_name,
    full_name,
    save_classifier,
)
from gan_lightning.utils.checks import at_least
from gan_lightning.utils.errors import UserError, one_line
from gan_lightning.utils.files import user_path
from gan_lightning.utils.suggestions import no_such

BATCH_SIZE = 128
#: What jsonargparse says of a value of another type.
WRONG_TYPE = re.compile(r'Parser key "(\w+)": Expected an? <class .(\w+).>.* value: (.*)')
#: The largest shift of an image, in pixels.
SHIFT = 2


def train(x: Tensor, y: Tensor, classes: int, epochs: int, seed: int) -> Classifier:
    """Cross-entropy, AdamW on a cosine from 2e-3 to zero, images shifted by up to two pixels.

    ``x`` is uint8 ``(N, C, H, W)``, ``y`` int64 ``(N,)``.
    """
    torch.manual_seed(seed)
    network = Classifier(x.shape[1], classes)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * (len(x) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
    height, width = x.shape[-2:]
    console = Console(stderr=True)
    for epoch in range(epochs):
        order = torch.randperm(len(x)).split(BATCH_SIZE)
        title = f"epoch {epoch + 1} of {epochs}"
        hidden = not console.is_terminal
        for batch in track(order, title, console=console, transient=True, disable=hidden):
            if len(batch) < min(BATCH_SIZE, len(x)):
                continue
            top, left = torch.randint(2 * SHIFT + 1, (2,)).tolist()
            shifted = F.pad(x[batch], (SHIFT,) * 4)[..., top : top + height, left : left + width]
            loss = F.cross_entropy(network(shifted)[1], y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: Classifier, x: Tensor, y: Tensor) -> float:
    """The share of images whose label has the largest logit."""
    right = sum(
        int((network(part)[1].argmax(dim=1) == labels).sum())
        for part, labels in zip(x.split(1000), y.split(1000), strict=True)
    )
    return right / len(x)


def main(args: list[str] | None = None) -> None:
    """Train the classifier, write its file and print its accuracy."""
    parser = _Parser(prog="gan_lightning.metrics.train_extractor", description=__doc__)
    parser.add_subclass_arguments(GANDataModule, "data", required=True)
    parser.add_argument("--output", type=Path, help="the file to write (default: NAME.pt)")
    parser.add_argument(
        "--name", type=str | None, help="the name of the classifier (default: of the data)"
    )
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(args)
    options.data.init_args.conditional = True
    config = _training_config(options)
    try:
        at_least(1, epochs=options.epochs)
        if options.name is not None:
            checked_name(options.name)
        path = options.output and _writable_path(options.output)
        data: GANDataModule = parser.instantiate(options).data
        data.prepare_data()
        (x, y), (x_test, y_test) = data.load("train"), data.load("test")
    except (UserError, ValueError) as error:
        parser.error(str(error))
    if y is None or y_test is None or x.ndim != 4:
        parser.error(f"{type(data).__name__} has no labelled images")
    torch.set_num_threads(1)
    network = train(x, y, data.classes, options.epochs, options.seed)
    share = accuracy(network, x_test, y_test)
    name = options.name or snake_case(type(data).__name__)
    shape = (x.shape[1], x.shape[2], x.shape[3])
    path = path or Path(f"{name}.pt")
    description = Description(name, shape, data.classes, share, config)
    save_classifier(network, description, path)
    print(
        f"{path}: accuracy {share:.4f} on {len(x_test):,} test images; its scores are named "
        f"after {full_name(description, path)}"
    )


class _Parser(ArgumentParser):
    """Answers a mistake with one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Exit with 2 and one line, which names the data where there is no such class."""
        text = " ".join(message.split())
        if found := re.search(r"dot import path string: (\S+)", text):
            exported = [getattr(data_modules, name) for name in data_modules.__all__]
            names = [
                each.__name__
                for each in exported
                if issubclass(each, GANDataModule) and not isabstract(each)
            ]
            text = f"--data: {no_such('class', found[1], names)}"
        elif found := re.search(r"Subtypes: .* Errors: - (.*?) - Expected", text):
            text = f"--data: {found[1]}"
        elif found := WRONG_TYPE.search(text):
            text = f"--{found[1]}: expected {found[2]}, got {found[3]}"
        self.exit(2, f"{self.prog}: {one_line(text)}\n")


def _writable_path(path: Path) -> Path:
    """The path, whose folder is created; raises ValueError if no file can be written there."""
    if path.is_dir():
        raise ValueError(f"--output {path} is a folder: pass the path of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ValueError(f"--output {path} cannot be written ({error.strerror})") from error
    return path


def snake_case(name: str) -> str:
    """FashionMNIST to fashion_mnist."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _training_config(options: Any) -> dict[str, Any]:  # noqa: ANN401
    """The options to train the classifier again with, without paths of this machine."""
    init_args = {
        key: value
        for key, value in options.data.init_args.as_dict().items()
        if not isinstance(value, str) or not user_path(value).exists()
    }
    name = options.data.class_path.rsplit(".", 1)[-1]
    return {"data": name, "init_args": init_args, "epochs": options.epochs, "seed": options.seed}


if __name__ == "__main__":
    main()
