"""Model cards: the README.md of a model that is shared, with the metadata that the hub reads."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from gan_lightning.utils.errors import WrongFileError, one_line

#: The name of this library in the metadata.
LIBRARY = "gan_lightning"
#: The picture of samples beside the card.
PICTURE = "samples.png"
#: The hub's task of a model that draws images.
TASK = "unconditional-image-generation"


@dataclass(frozen=True)
class Facts:
    """What a model card says about a model's training; all of it may be missing.

    Args:
        data: the name of the data.
        scores: by names that state their protocol, such as ``fd1797_digits_cnn``.
        source: what was run, in words.
        license: of the weights, as the hub writes it: ``mit``, ``cc-by-4.0``.
        data_license: of the data, in words.
    """

    data: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    license: str = ""
    data_license: str = ""

    @classmethod
    def from_json(cls, given: Any, path: Path) -> "Facts":  # noqa: ANN401
        """What ``asdict`` made, read from a file.

        Raises:
            WrongFileError: it is something else.
        """
        names = {each.name for each in fields(cls)}
        texts = names - {"scores"}
        scores = given.get("scores", {}) if isinstance(given, dict) else None
        if (
            not isinstance(scores, dict)
            or not all(type(value) in (int, float) for value in scores.values())
            or not all(isinstance(given[name], str) for name in texts & given.keys())
        ):
            raise WrongFileError(f"{path} says about the training what is not understood")
        return cls(**{name: given[name] for name in names & given.keys()})

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is missing is left out."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True)
class Subject:
    """The model that a card is about.

    Args:
        name: ``user/name`` on the hub, or "" in a folder.
        technique: the class.
        shape: of a sample.
        hyperparameters: by name.
        updates: of the generator.
        images: real images that the critic was shown.
        parts: what the weights hold, in words.
        version: of this library.
    """

    name: str
    technique: type
    shape: tuple[int, ...]
    hyperparameters: Mapping[str, Any]
    updates: int
    images: int
    parts: str
    version: str


def write_card(subject: Subject, facts: Facts, *, picture: bool) -> str:
    """The text of a card: metadata in YAML, then Markdown; with ``picture``, a link to it."""
    title = subject.name.rpartition("/")[2] or _title(subject, facts)
    where = json.dumps(subject.name or "path/to/this/folder")
    summary, papers = _description(subject.technique)
    if summary.removesuffix(".") != (technique := subject.technique.__name__):
        summary = f"{technique}: {summary}" if summary else f"{technique}."
    labels = subject.hyperparameters.get("num_classes") or 0
    given = "64, y=torch.full((64,), 1)" if labels else "64"
    lines = [
        f"# {_plain(title)}",
        f"A generator of {_what(subject, facts)}, trained with {_plain(summary)}",
        f"![Samples]({PICTURE})" if picture else "",
        "## Use",
        "```python\n"
        + ("import torch\n" if labels else "")
        + "from gan_lightning import GAN\n\n"
        + f"model = GAN.from_pretrained({where})\n"
        + f"samples = model.sample({given})  # (64, {', '.join(map(str, subject.shape))})"
        + (", in [-1, 1]" if len(subject.shape) == 3 else "")
        + "\n```",
        f"The folder holds {subject.parts}. Nothing in it runs code.",
        "## Training",
        _training(subject, facts),
        "Hyperparameters:\n\n```json\n" + _block(subject.hyperparameters) + "\n```",
        "## Scores",
        _scores(facts),
    ]
    if papers:
        links = ", ".join(f"[arXiv:{p}](https://arxiv.org/abs/{p})" for p in papers)
        lines += ["## Paper", links]
    if facts.license or facts.data_license:
        own = f"Weights: {_plain(facts.license)}. " if facts.license else ""
        data = f"Data: {_plain(facts.data_license)}." if facts.data_license else ""
        lines += ["## Licence", f"{own}{data}".strip()]
    header = yaml.safe_dump(_metadata(subject, facts, title), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n" + "\n\n".join(filter(None, lines)) + "\n"


def _metadata(subject: Subject, facts: Facts, title: str) -> dict[str, Any]:
    is_image = len(subject.shape) == 3
    metadata: dict[str, Any] = {"library_name": LIBRARY}
    if facts.license:
        metadata["license"] = facts.license
    if is_image:
        metadata["pipeline_tag"] = TASK
    metadata["tags"] = ["gan", "pytorch-lightning", subject.technique.__name__.lower()]
    if facts.scores:
        data = facts.data or "unknown"
        metadata["model-index"] = [
            {
                "name": one_line(title),
                "results": [
                    {
                        "task": {"type": TASK if is_image else "other"},
                        "dataset": {"name": one_line(data), "type": one_line(data.lower())},
                        "metrics": [
                            {"type": one_line(name), "name": one_line(name), "value": float(value)}
                            for name, value in facts.scores.items()
                        ],
                    }
                ],
            }
        ]
    return metadata


def _title(subject: Subject, facts: Facts) -> str:
    return subject.technique.__name__ + (f" on {facts.data}" if facts.data else "")


def _what(subject: Subject, facts: Facts) -> str:
    kind = "vectors"
    if len(subject.shape) == 3:
        channels, height, width = subject.shape
        kind = f"{height} x {width} {'grey ' if channels == 1 else ''}images"
    classes = subject.hyperparameters.get("num_classes") or 0
    kind += f" of {classes:,} classes" if classes else ""
    return kind + (f" like those of {_plain(facts.data)}" if facts.data else "")


def _training(subject: Subject, facts: Facts) -> str:
    parts = [f"Made with gan_lightning {subject.version}"]
    if subject.updates:
        parts.append(f"after {subject.updates:,} generator updates")
    if subject.images:
        parts.append(f"of a critic that was shown {subject.images:,} real images")
    source = f" {_plain(facts.source)}" if facts.source else ""
    return f"{', '.join(parts)}.{source}"


def _scores(facts: Facts) -> str:
    if not facts.scores:
        return "There is no score of these weights."
    rows = [f"| `{_plain(name)}` | {value:.4g} |" for name, value in facts.scores.items()]
    text = (
        "A score's name states its metric, the number of generated samples, the network whose "
        "features are compared and the real images. `fid` and `is` without a network are on "
        "Inception. A Frechet distance on any other network is not FID, and not to be compared "
        "with one."
    )
    return "\n".join(["| score | value |", "| --- | --- |", *rows]) + f"\n\n{text}"


def _description(technique: type) -> tuple[str, list[str]]:
    """The first line of a class's docstring, and the arXiv ids in it."""
    text = technique.__doc__ or ""
    papers = dict.fromkeys(re.findall(r"arXiv:(\d{4}\.\d{4,5})", text))
    return text.strip().partition("\n")[0], list(papers)[:1]


def _block(values: Mapping[str, Any]) -> str:
    # A text cannot end the block: its line breaks are escaped, and so are its backquotes.
    return json.dumps(values, indent=1).replace("`", "\\u0060")


def _plain(text: str) -> str:
    """A text in one line, without the marks that Markdown or HTML would read."""
    return re.sub(r"[<>`\[\]|*]", "", one_line(text))
