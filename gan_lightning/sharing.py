"""Models as others share them: a folder with ``config.json`` and ``model.safetensors``.

This is the format of the Hugging Face hub: weights without code beside plain values. It is not the
hub's own ``PyTorchModelHubMixin``: this one would read weights from a pickle where there are no
others, write the generator twice where it has a moving average, and not find the class of a
technique by its key. The names and arguments of the three methods are those of the hub's.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from gan_lightning import hub
from gan_lightning.model_card import LIBRARY, PICTURE, Facts, Subject, write_card
from gan_lightning.techniques import TECHNIQUES
from gan_lightning.training.checkpoints import as_tuple, check_networks, class_name
from gan_lightning.training.saved_states import check_tensors
from gan_lightning.utils.errors import ArgumentError, WrongFileError
from gan_lightning.utils.files import user_path, whole_file
from gan_lightning.utils.images import image_grid, save_image
from gan_lightning.version import __version__

if TYPE_CHECKING:
    from gan_lightning.gan import GAN

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
#: The format of ``config.json``; a later one is not read.
FORMAT = 1
#: The largest ``config.json`` that is read, in bytes.
MAX_CONFIG = 2**20
#: The types that weights can be stored in.
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
#: What the names of the generator's tensors begin with, and of its moving average's.
GENERATOR, AVERAGE = "generator.", "generator_ema."
#: The rows of the picture of samples, and its columns but where there are a few classes.
ROWS, COLUMNS = 8, 8

Shared = TypeVar("Shared", bound="Sharing")


@dataclass(frozen=True)
class Config:
    """What ``config.json`` holds.

    Args:
        technique: its key in ``TECHNIQUES``, or the import path of a custom class.
        hyperparameters: the arguments of the class.
        critic: whether the weights of the critic are there too.
        updates: of the generator.
        images: real images that the critic was shown.
        level: of networks that grow; -1 for the last.
        facts: about the training, for the card.
    """

    technique: str
    hyperparameters: dict[str, Any]
    critic: bool
    updates: int
    images: int
    level: int
    facts: Facts


class Sharing(pl.LightningModule):
    """Saves a model in the format of the hub, and loads one."""

    shape: tuple[int, ...]

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        critic: bool = False,
        dtype: torch.dtype = torch.float32,
        facts: Facts | None = None,
        name: str = "",
    ) -> None:
        """Write ``config.json``, ``model.safetensors``, a model card and a picture of samples.

        The weights are those of the generator that ``sample`` draws from, the moving average where
        there is one, with all that belongs to it: its mean style, the statistics of its batch
        normalisation. Files of these names are replaced.

        Args:
            folder: is made if there is none.
            critic: also keep the critic, and what else is trained, so that another run can start
                from both.
            dtype: of the weights in the file: float32, or float16 or bfloat16, which take half the
                space and change samples a little. A loaded model computes in float32.
            facts: for the card: data, scores, licence.
            name: for the card: ``user/name`` on the hub.

        Raises:
            ArgumentError: a hyperparameter is no plain value, or a weight is too large for the
                type.
            StorageError: a file cannot be written.
        """
        model, folder = cast("GAN", self), user_path(folder)
        facts = facts or Facts()
        config = Config(
            _technique_key(type(model)),
            {name: value for name, value in model.hparams.items() if name[0] != "_"},
            critic,
            model.updates,
            model.images,
            model.level,
            facts,
        )
        text, weights = _config_text(config), save(_state(model, critic, dtype), {"format": "pt"})
        picture = _picture(model)
        card = write_card(
            Subject(
                name,
                type(model),
                model.shape,
                config.hyperparameters,
                config.updates,
                config.images,
                _parts(model, critic, dtype),
                __version__,
            ),
            facts,
            picture=picture is not None,
        )
        with whole_file(folder / WEIGHTS) as file:
            file.write(weights)
        for name, content in ((CONFIG, text), (CARD, card)):
            with whole_file(folder / name, "w", encoding="utf-8") as file:
                file.write(content)
        if picture is not None:
            save_image(picture, folder / PICTURE)

    @classmethod
    def from_pretrained(
        cls: type[Shared],
        name: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        map_location: str | torch.device = "cpu",
    ) -> Shared:
        """The model in a folder or, where there is no such folder, in a repository of the hub.

        It is in eval mode, and of the technique that was saved. Its moving average and its
        generator are both the generator that was saved; a critic that was not saved is a new one.
        Nothing in the files is run, and nothing but these two is fetched.

        Args:
            name: the path of a folder, or ``user/name``.
            revision: a branch, a tag or a commit of the repository.
            token: of the hub; by default that of ``hf auth login``.
            cache_dir: of the hub's files.
            force_download: fetch what is in the cache too.
            local_files_only: do not ask the hub.
            map_location: the device.

        Raises:
            WrongFileError: the files are not a model of this class, or of a technique that is not
                imported here.
            ArgumentError: there is no such folder, and it is no name on the hub.
            HubError: it cannot be fetched.
            MissingPackageError: huggingface_hub is not installed, and there is no such folder.
        """
        folder = user_path(name)
        if not os.path.isdir(folder):
            folder = hub.fetch(
                str(name),
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
            )
        model = read_folder(folder, map_location)
        if not isinstance(model, cls):
            raise WrongFileError(f"{name} is a {type(model).__name__}, not a {cls.__name__}")
        return model

    def push_to_hub(
        self,
        repo_id: str,
        *,
        critic: bool = False,
        dtype: torch.dtype = torch.float32,
        facts: Facts | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        private: bool | None = None,
        create_pr: bool = False,
        commit_message: str = hub.COMMIT_MESSAGE,
    ) -> str:
        """Send what ``save_pretrained`` writes to a repository, which is made if there is none.

        Returns the address of the commit. The last five arguments are those of the hub's own
        ``push_to_hub``, with ``revision`` for the branch.

        Raises:
            MissingPackageError: huggingface_hub is not installed.
            HubError: the hub cannot be reached, or refuses.
            ArgumentError: this is not the name of a repository; or as in ``save_pretrained``.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, critic=critic, dtype=dtype, facts=facts, name=repo_id)
            return hub.push(
                Path(folder),
                repo_id,
                revision=revision,
                token=token,
                private=private,
                create_pr=create_pr,
                commit_message=commit_message,
            )


def read_folder(folder: Path, map_location: str | torch.device = "cpu") -> "GAN":
    """The model that ``save_pretrained`` wrote, in eval mode.

    Raises:
        WrongFileError: the folder holds something else, or a technique that is not imported here.
        BrokenPackageError: the technique is another package's, and cannot be used.
    """
    from gan_lightning.loading import built, find_technique

    config = read_config(folder)
    technique = find_technique(config.technique, folder)
    model = built(technique, config.hyperparameters, folder)
    theirs = _read_weights(folder / WEIGHTS)
    ours = model.state_dict()
    expected = _shared(model, config.critic)
    try:
        check_networks({"hyper_parameters": config.hyperparameters}, model, theirs, expected)
        check_tensors(theirs, expected)
    except WrongFileError as error:
        raise WrongFileError(f"{folder / WEIGHTS}: {error}") from error
    for name in ours.keys() & _with_average(theirs).keys():
        ours[name].copy_(_with_average(theirs)[name])
    model.restore_counts(config.updates, config.images, config.level)
    return model.to(map_location).eval()


def read_networks(folder: Path) -> dict[str, Any]:
    """The networks in a folder with a critic, as a checkpoint has them.

    Raises:
        WrongFileError: there is no critic, or the folder holds something else.
    """
    config = read_config(folder)
    if not config.critic:
        raise WrongFileError(
            f"{folder} has no critic: export it with --critic for a run to start from"
        )
    return {
        "hyper_parameters": config.hyperparameters,
        "state_dict": _read_weights(folder / WEIGHTS),
    }


def read_config(folder: Path) -> Config:
    """What is in the ``config.json`` of a folder.

    Raises:
        WrongFileError: there is none, or it was not written by ``save_pretrained``.
    """
    path = folder / CONFIG
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG + 1)
        content = json.loads(text) if len(text) <= MAX_CONFIG else None
    except FileNotFoundError as error:
        raise WrongFileError(
            f"{folder} has no {CONFIG}, which save_pretrained and gan-lightning export write"
        ) from error
    except (ValueError, RecursionError) as error:
        raise WrongFileError(f"{path} is not JSON") from error
    if len(text) > MAX_CONFIG:
        raise WrongFileError(f"{path} is too large for a config")
    if not isinstance(content, dict) or content.get("library_name") != LIBRARY:
        raise WrongFileError(f"{path} is not of gan_lightning: its library_name is another one")
    if type(content.get("format")) is not int or content["format"] > FORMAT:
        raise WrongFileError(
            f"{path} was written by gan_lightning {content.get('version')}, which this version "
            "cannot read: upgrade it"
        )
    counts = {name: content.get(name) for name in ("updates", "images", "level")}
    least = {"level": -1}
    if not (
        isinstance(content.get("technique"), str)
        and isinstance(content.get("hyperparameters"), dict)
        and isinstance(content.get("critic"), bool)
        and all(type(n) is int and n >= least.get(name, 0) for name, n in counts.items())
    ):
        raise WrongFileError(f"{path} is not a config of gan_lightning")
    return Config(
        content["technique"],
        {name: as_tuple(value) for name, value in content["hyperparameters"].items()},
        content["critic"],
        **cast("dict[str, int]", counts),
        facts=Facts.from_json(content.get("training", {}), path),
    )


def _config_text(config: Config) -> str:
    content = {
        "library_name": LIBRARY,
        "format": FORMAT,
        "version": __version__,
        "technique": config.technique,
        "critic": config.critic,
        "updates": config.updates,
        "images": config.images,
        "level": config.level,
        "hyperparameters": config.hyperparameters,
        "training": config.facts.to_json(),
    }
    try:
        return json.dumps(content, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"a hyperparameter or a score is no plain value: {error}") from error


def _technique_key(technique: type) -> str:
    path = class_name(technique)
    keys = {f"gan_lightning.techniques.{key}.{name}": key for key, name in TECHNIQUES.own.items()}
    return keys.get(path, path)


def _shared(model: "GAN", critic: bool) -> dict[str, Tensor]:
    """The tensors of a model that are shared, by their names in the file."""
    shared = {f"{GENERATOR}{name}": x for name, x in model.sampled.state_dict().items()}
    if critic:
        others = model.state_dict().items()
        shared |= {n: x for n, x in others if not n.startswith((GENERATOR, AVERAGE))}
    return shared


def _with_average(shared: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same, and the generator's as those of the moving average."""
    average = {
        f"{AVERAGE}{name.removeprefix(GENERATOR)}": tensor
        for name, tensor in shared.items()
        if name.startswith(GENERATOR)
    }
    return {**shared, **average}


def _state(model: "GAN", critic: bool, dtype: torch.dtype) -> dict[str, Tensor]:
    if dtype not in DTYPES:
        raise ArgumentError(f"dtype must be one of {', '.join(map(str, DTYPES))}, got {dtype}")
    state = {}
    for name, tensor in _shared(model, critic).items():
        # A copy of its own: no two may share storage in the file.
        copied = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        stored = copied.to(dtype) if copied.is_floating_point() else copied
        if stored.isinf().any() and not copied.isinf().any():
            raise ArgumentError(f"{name} has values that are too large for {dtype}")
        state[name] = stored
    return state


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise WrongFileError(f"{path} is not a whole file of safetensors ({reason})") from error


def _parts(model: "GAN", critic: bool, dtype: torch.dtype) -> str:
    """What the file of weights holds, in words."""
    average = "the moving average of its weights" if model.generator_ema is not None else "it"
    count = sum(parameter.numel() for parameter in model.sampled.parameters())
    name = str(dtype).removeprefix("torch.")
    others = " and the critic, to train on," if critic else ""
    return f"the generator, {average},{others} in {name}: {count:,} parameters to draw samples with"


@torch.no_grad()
def _picture(model: "GAN") -> Tensor | None:
    """A grid of samples; None where they are not images that can be shown."""
    if not model.is_image:
        return None
    few = 0 < model.num_classes <= 10
    columns = model.num_classes if few else COLUMNS
    count = ROWS * columns
    y = torch.arange(count, device=model.device) % columns if few else None
    with isolate_rng():
        torch.manual_seed(0)
        images = model.sample(count, y)
    return image_grid(images.cpu(), columns)
