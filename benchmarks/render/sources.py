"""Where the numbers of a row come from: its page, paper, config and records."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.protocol import ROOT, Protocol
from benchmarks.records import Record
from benchmarks.render.dates import Dates
from benchmarks.render.names import paper
from benchmarks.render.numbers import short
from benchmarks.render.pictures import Links
from benchmarks.render.table import Row, run_file
from gan_lightning import TECHNIQUES
from gan_lightning.utils.errors import one_line

#: The address of a commit on the web, with ``{}`` for its 40 digits; None as long as it has none.
COMMIT_URL: str | None = None
_HASH = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Link:
    """A text, and its link; None for a text alone."""

    text: str
    url: str | None = None


@dataclass(frozen=True)
class Source:
    """Where the numbers of a row come from; each list has what its runs have, each once."""

    name: str
    page: str | None
    paper: Link | None
    config: Link | None
    options: str
    records: list[Link]
    commits: list[Link]
    days: list[str]
    hardware: list[str]


def sources(protocol: Protocol, rows: Sequence[Row], links: Links, dates: Dates) -> list[Source]:
    """The sources of each row."""
    return [_source(protocol, row, links, dates) for row in rows]


def _source(protocol: Protocol, row: Row, links: Links, dates: Dates) -> Source:
    technique = row.variant.technique
    page = None
    if technique in TECHNIQUES:
        page = links.file(ROOT / "docs" / "techniques" / f"{technique}.md")
    elif protocol.baseline is not None:
        page = links.file(ROOT / "docs" / "stabilizers.md")
    arxiv = paper(row.variant, trusted=row.variant in protocol.rows)
    path = row.variant.config or (protocol.config(technique) if technique in TECHNIQUES else None)
    config = None
    if path is not None and path.is_relative_to(ROOT):
        config = Link(path.relative_to(ROOT).as_posix(), links.file(path))
    return Source(
        name=row.name,
        page=page,
        paper=Link(f"arXiv:{arxiv}", f"https://arxiv.org/abs/{arxiv}") if arxiv else None,
        config=config,
        options=" ".join(map(one_line, row.variant.options)),
        records=[_record(run, row, links) for run in row.runs],
        commits=[_commit(text) for text in dict.fromkeys(run.commit for run in row.runs)],
        days=sorted({day for run in row.runs if (day := dates.of(run))}),
        hardware=list(dict.fromkeys(hardware(run) for run in row.runs)),
    )


def _record(run: Record, row: Row, links: Links) -> Link:
    score = short(run.last[run.distance]) if run.status == "finished" else run.status
    path = run_file(row.results, run, ".json")
    return Link(f"seed {run.seed}: {score}", links.file(path))


def _commit(text: str) -> Link:
    found = _HASH.match(text)
    if found is None:
        return Link(one_line(text) or "unknown")
    url = COMMIT_URL.format(found[0]) if COMMIT_URL else None
    return Link(found[0][:9] + one_line(text[40:]), url)


def hardware(run: Record) -> str:
    """The device of a run in a few words."""
    device = run.device
    parts = [one_line(str(device.get("name", "unknown")))]
    processor = device.get("processor")
    if isinstance(processor, dict) and "family" in processor and "model" in processor:
        family, model = (one_line(str(processor[key])) for key in ("family", "model"))
        parts.append(f"family {family} model {model}")
    if "threads" in device:
        threads = one_line(str(device["threads"]))
        parts.append(f"{threads} thread{'s' * (threads != '1')}")
    if isinstance(count := device.get("count"), int) and count > 1:
        parts.append(f"{count} devices")
    if (shared := runs_on_a_gpu(run)) > 1:
        parts.append(f"{shared} runs on a GPU")
    return ", ".join(parts)


def runs_on_a_gpu(run: Record) -> int:
    """How many runs shared the GPU of this one, with it."""
    shared = run.device.get("runs_per_gpu")
    return shared if isinstance(shared, int) else 1
